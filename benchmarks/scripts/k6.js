// One request of the benchmark in k6: closed (VUS) or open (RATE with at most VUS workers).
import http from 'k6/http';
import k6crypto from 'k6/crypto';

const url = __ENV.URL;
const signed = __ENV.SIGNED === '1';
const filler = 'x'.repeat(380);
const still = JSON.stringify({ id: '0'.repeat(36), text: filler });
const json = { 'Content-Type': 'application/json' };

const vus = Number(__ENV.VUS);
const duration = `${__ENV.DURATION_S}s`;
export const options = {
  discardResponseBodies: true,
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
};
if (__ENV.RATE) {
  options.scenarios = {
    open: {
      executor: 'constant-arrival-rate', rate: Number(__ENV.RATE), timeUnit: '1s', duration,
      preAllocatedVUs: vus, maxVUs: vus,
    },
  };
} else {
  options.vus = vus;
  options.duration = duration;
}

export default function () {
  if (!signed) {
    http.post(url, still, { headers: json });
    return;
  }
  const body = JSON.stringify({ id: crypto.randomUUID(), text: filler });
  const signature = k6crypto.hmac('sha256', __ENV.KEY, body, 'hex');
  const headers = { 'Content-Type': 'application/json', 'X-Signature': `sha256=${signature}` };
  http.post(url, body, { headers });
}

export function handleSummary(data) {
  const d = data.metrics.http_req_duration.values;
  const ms = { p50: d.med, p95: d['p(95)'], p99: d['p(99)'], p99_9: d['p(99.9)'], max: d.max };
  return { stdout: JSON.stringify(ms) + '\n' };
}
