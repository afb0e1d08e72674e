/*
 * The server that load generators are measured against: one thread, one epoll loop, and as little
 * CPU a request as possible, so that what is measured is the generator.
 *
 *     server PORT [FREEZE_MS EVERY_MS]
 *
 * Answers every request with 200 and 15 bytes of JSON. With FREEZE_MS it stops serving that long
 * at every multiple of EVERY_MS of CLOCK_MONOTONIC since its start, so the true latencies of any
 * plan can be computed. Prints "ready EPOCH_NS" once it listens, and "served COUNT" for every
 * line on its stdin and at its end, with which it ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 65536
#define BUFFER_BYTES 16384

static const char REPLY[] =
    "HTTP/1.1 200 OK\r\n"
    "Server: bench\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 15\r\n"
    "Connection: keep-alive\r\n"
    "\r\n"
    "{\"status\":\"ok\"}";

struct connection {
    size_t filled;
    char buffer[BUFFER_BYTES];
};

static struct connection *connections[CONNECTIONS_MAX];
static long long served;

static long long monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* The bytes of the first request in the buffer, 0 if it is not complete. */
static size_t request_bytes(const char *buffer, size_t filled) {
    const char *end = memmem(buffer, filled, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    size_t head = (size_t)(end - buffer) + 4, body = 0;
    for (const char *line = buffer; line < end;) {
        if (strncasecmp(line, "content-length:", 15) == 0) body = strtoul(line + 15, NULL, 10);
        const char *next = memchr(line, '\n', (size_t)(end + 2 - line));
        if (next == NULL) break;
        line = next + 1;
    }
    return filled >= head + body ? head + body : 0;
}

static void drop(int descriptor) {
    free(connections[descriptor]);
    connections[descriptor] = NULL;
    close(descriptor);
}

static void serve(int descriptor) {
    struct connection *c = connections[descriptor];
    ssize_t got = recv(descriptor, c->buffer + c->filled, BUFFER_BYTES - c->filled, 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) drop(descriptor);
        return;
    }
    c->filled += (size_t)got;
    size_t length;
    while ((length = request_bytes(c->buffer, c->filled)) > 0) {
        if (send(descriptor, REPLY, sizeof REPLY - 1, MSG_NOSIGNAL) < 0) {
            drop(descriptor);
            return;
        }
        served++;
        c->filled -= length;
        memmove(c->buffer, c->buffer + length, c->filled);
    }
    if (c->filled == BUFFER_BYTES) drop(descriptor);
}

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&where, sizeof where) || listen(listener, 4096)) {
        perror("bench server");
        exit(1);
    }
    return listener;
}

static void welcome(int listener, int poll_set) {
    int descriptor, yes = 1;
    while ((descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (descriptor >= CONNECTIONS_MAX) {
            close(descriptor);
            continue;
        }
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        connections[descriptor] = calloc(1, sizeof(struct connection));
        struct epoll_event readable = {.events = EPOLLIN, .data.fd = descriptor};
        epoll_ctl(poll_set, EPOLL_CTL_ADD, descriptor, &readable);
    }
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: %s PORT [FREEZE_MS EVERY_MS]\n", argv[0]);
        return 2;
    }
    long long freeze_ns = argc == 4 ? atoll(argv[2]) * 1000000 : 0;
    long long every_ns = argc == 4 ? atoll(argv[3]) * 1000000 : 1;
    int listener = listen_on(atoi(argv[1])), poll_set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(poll_set, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = 0;
    epoll_ctl(poll_set, EPOLL_CTL_ADD, 0, &event);
    long long start_ns = monotonic_ns(), next_freeze_ns = start_ns + every_ns;
    printf("ready %lld\n", start_ns);
    fflush(stdout);
    for (;;) {
        int timeout_ms = -1;
        if (freeze_ns) {
            long long now_ns = monotonic_ns();
            if (now_ns >= next_freeze_ns) {
                long long thaw_ns = next_freeze_ns + freeze_ns;
                struct timespec thaw = {thaw_ns / 1000000000, thaw_ns % 1000000000};
                clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &thaw, NULL);
                next_freeze_ns += every_ns;
                continue;
            }
            timeout_ms = (int)((next_freeze_ns - now_ns) / 1000000) + 1;
        }
        int count = epoll_wait(poll_set, events, 256, timeout_ms);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == 0) {
                char asked[64];
                ssize_t length = read(0, asked, sizeof asked);
                printf("served %lld\n", served);
                fflush(stdout);
                if (length <= 0) return 0;
            }
            else if (events[i].data.fd == listener) welcome(listener, poll_set);
            else serve(events[i].data.fd);
        }
    }
}
