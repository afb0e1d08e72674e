// One request of the benchmark in vegeta's library: closed with VUS workers, or open at RATE.
package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

func main() {
	url, key := os.Getenv("URL"), []byte(os.Getenv("KEY"))
	signed := os.Getenv("SIGNED") == "1"
	workers, _ := strconv.ParseUint(os.Getenv("VUS"), 10, 64)
	seconds, _ := strconv.ParseFloat(os.Getenv("DURATION_S"), 64)
	rate, _ := strconv.Atoi(os.Getenv("RATE"))
	filler := strings.Repeat("x", 380)
	still := []byte(fmt.Sprintf(`{"id":"%036d","text":"%s"}`, 0, filler))

	targeter := func(target *vegeta.Target) error {
		target.Method, target.URL, target.Body = "POST", url, still
		target.Header = http.Header{"Content-Type": {"application/json"}}
		if signed {
			target.Body = []byte(fmt.Sprintf(`{"id":"%s","text":"%s"}`, uuid(), filler))
			mac := hmac.New(sha256.New, key)
			mac.Write(target.Body)
			target.Header["X-Signature"] = []string{"sha256=" + hex.EncodeToString(mac.Sum(nil))}
		}
		return nil
	}
	attacker := vegeta.NewAttacker(
		vegeta.Workers(min(workers, 32)), vegeta.MaxWorkers(workers),
		vegeta.Connections(int(workers)), vegeta.Redirects(vegeta.NoFollow),
	)
	pace := vegeta.Rate{Freq: rate, Per: time.Second}
	var metrics vegeta.Metrics
	for result := range attacker.Attack(targeter, pace, time.Duration(seconds*1e9), "bench") {
		metrics.Add(result)
	}
	metrics.Close()
	ms := func(quantile float64) float64 {
		return float64(metrics.Latencies.Quantile(quantile)) / 1e6
	}
	json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"p50": ms(0.5), "p95": ms(0.95), "p99": ms(0.99), "p99_9": ms(0.999),
		"max": float64(metrics.Latencies.Max) / 1e6,
	})
}

func uuid() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
