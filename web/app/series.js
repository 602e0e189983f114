/* series.js - the last minute or two of a number, kept while the page is open. */
const kept = new Map();
const LENGTH = 60;
const OTHERS = 8; /* the host's */

/** @param {string} key @param {number|null|undefined} value @param {any} stamp a new one adds the value */
export function useSeries(key, value, stamp) {
  let series = kept.get(key);
  if (!series) kept.set(key, (series = { stamp: null, values: [] }));
  if (value != null && stamp && series.stamp !== stamp) {
    series.stamp = stamp;
    series.values = [...series.values.slice(-LENGTH + 1), value];
  }
  return series.values;
}
/** @param {{id: string, cpuPercent: number|null, memoryBytes: number|null}[]} containers @param {any} stamp */
export function feed(containers, stamp) {
  if (!stamp) return;
  for (const c of containers) useSeries('cpu' + c.id, c.cpuPercent, stamp);
  /* One that has gone is not asked for again. */
  if (kept.size <= containers.length * 2 + OTHERS) return;
  const ids = new Set(containers.map(({ id }) => id));
  for (const key of kept.keys()) if (/^(cpu|mem)./.test(key) && !ids.has(key.slice(3))) kept.delete(key);
}
export const seriesOf = (key) => kept.get(key)?.values ?? [];

/** How many are kept. */
export const seriesCount = () => kept.size;
