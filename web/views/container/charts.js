/* charts.js - from history up to now, on one axis. Dragging over a chart looks closer. */
import { html, useMemo, useState } from '../../app/html.js';
import { t, bytes, rate, percent } from '../../app/i18n.js';
import { tabique } from '../../app/api.js';
import { useLive, useNow } from '../../app/live.js';
import { setQuery } from '../../app/router.js';
import { Choice, Filterbar, Problem } from '../../components/bits.js';
import { Chart } from '../../components/chart.js';
import { spans } from '../../components/slider.js';

/** Counters to rates; a counter that fell began anew. */
export function rates(samples, key) {
  return samples.map((s, i) => {
    if (!i) return null;
    const seconds = (Date.parse(s.time) - Date.parse(samples[i - 1].time)) / 1000;
    const moved = s[key] - samples[i - 1][key];
    return moved < 0 || seconds <= 0 || seconds > 3 * Math.max(s.spanSeconds, 1) + 5 ? null : moved / seconds;
  });
}

export default function Charts({ container, query }) {
  const now = useNow();
  const span = spans[query.span] ? query.span : '10m';
  const [zoom, setZoom] = useState(/** @type {[number, number]|null} */ (null));
  const width = spans[span];
  const until = zoom ? zoom[1] : Math.floor(now / 2000) * 2000, since = zoom ? zoom[0] : until - width;
  const step = Math.max(1, Math.round((until - since) / 1000 / 600));
  const live = useLive(['samples', container.id, span, zoom], () => tabique.samples(zoom
    ? { subject: container.id, since: new Date(since).toISOString(), until: new Date(until).toISOString(), step: step + 's' }
    : { subject: container.id, since: new Date(Date.now() - width).toISOString(), step: step + 's' }), { interval: zoom ? 0 : Math.max(2000, step * 1000) });
  const samples = live.data?.samples ?? [];
  const data = useMemo(() => ({
    times: samples.map((s) => Date.parse(s.time) / 1000), cpu: samples.map((s) => s.cpuPercent), cpuMax: samples.map((s) => s.cpuPercentMax), memory: samples.map((s) => s.memoryBytes),
    rx: rates(samples, 'netRxBytes'), tx: rates(samples, 'netTxBytes'), read: rates(samples, 'blockReadBytes'), write: rates(samples, 'blockWriteBytes'), pids: samples.map((s) => s.pids),
  }), [live.data]);
  const shared = { times: data.times, range: /** @type {[number, number]} */ ([since, until]), sync: 'container', onRange: (a, b) => setZoom([Math.round(a), Math.round(b)]) };
  return html`<div class="scroll charts"><${Filterbar}><${Choice} label=${t('slider.span')} value=${zoom ? '' : span} onChange=${(s) => { setZoom(null); setQuery({ span: s }); }} options=${Object.keys(spans).map((s) => [s, t('span.' + s)])} />
      ${zoom ? html`<button type="button" onClick=${() => setZoom(null)}>${t('charts.back')}</button>` : html`<span class="quiet-text">${t('charts.hint')}</span>`}</${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Chart} ...${shared} max=${1} label=${t('cpu')} format=${percent} series=${[{ label: t('charts.mean'), values: data.cpu, colour: 'c1', fill: true }, { label: t('charts.peak'), values: data.cpuMax, colour: 'c2' }]} />
    <${Chart} ...${shared} label=${t('memory')} format=${bytes} series=${[{ label: t('charts.used'), values: data.memory, colour: 'c3', fill: true }]} />
    <${Chart} ...${shared} max=${1024} label=${t('network')} format=${rate} series=${[{ label: t('charts.in'), values: data.rx, colour: 'c1' }, { label: t('charts.out'), values: data.tx, colour: 'c2' }]} />
    <${Chart} ...${shared} max=${1024} label=${t('charts.block')} format=${rate} series=${[{ label: t('charts.read'), values: data.read, colour: 'c1' }, { label: t('charts.write'), values: data.write, colour: 'c2' }]} />
    <${Chart} ...${shared} label=${t('processes')} format=${(v) => String(Math.round(v))} series=${[{ label: t('processes'), values: data.pids, colour: 'c4', fill: true }]} /></div>`;
}
