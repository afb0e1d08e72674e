// The judge's request in k6, timed as a customer sees it: connecting is part of it.
import http from 'k6/http';
import { Trend } from 'k6/metrics';

const body = JSON.stringify({ id: '0'.repeat(36), text: 'x'.repeat(380) });
const headers = { 'Content-Type': 'application/json' };
const duration = `${__ENV.DURATION_S}s`;
const vus = Number(__ENV.VUS);
const seen = new Trend('seen');
const scenario = __ENV.RATE
  ? {
    executor: 'constant-arrival-rate', rate: Number(__ENV.RATE), timeUnit: '1s', duration,
    preAllocatedVUs: vus, maxVUs: vus,
  }
  : { executor: 'constant-vus', vus, duration };
export const options = {
  discardResponseBodies: true,
  scenarios: { judge: scenario },
  summaryTrendStats: ['med', 'p(99)', 'max'],
};

export default function () {
  const { timings } = http.post(__ENV.URL, body, { headers });
  seen.add(timings.blocked + timings.duration);
}

export function handleSummary({ metrics }) {
  const ms = metrics.seen.values;
  const acked = metrics.http_reqs.values.rate * (1 - metrics.http_req_failed.values.rate);
  const said = { p50: ms.med, p99: ms['p(99)'], max: ms.max, rate: acked };
  return { stdout: JSON.stringify(said) + '\n' };
}
