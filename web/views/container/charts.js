/* charts.js - from history up to now, on one axis. Dragging over a chart looks closer. */
import { html, useMemo, useRef } from '../../app/html.js';
import { t, bytes, clock, number, rate, percent } from '../../app/i18n.js';
import { tabique } from '../../app/api.js';
import { useLive, useNow } from '../../app/live.js';
import { link, setQuery } from '../../app/router.js';
import { Choice, Filterbar, Problem } from '../../components/bits.js';
import { Chart } from '../../components/chart.js';
import { Icon } from '../../components/icons.js';
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
  const from = Date.parse(query.since), to = Date.parse(query.until);
  const zoom = from < to ? [from, to] : null;
  const setZoom = (range) => setQuery(range ? { since: new Date(range[0]).toISOString(), until: new Date(range[1]).toISOString(), moment: '' } : { since: '', until: '', moment: '' });
  const width = spans[span];
  const until = zoom ? zoom[1] : Math.floor(now / 2000) * 2000, since = zoom ? zoom[0] : until - width;
  const step = Math.max(1, Math.round((until - since) / 1000 / 600));
  const live = useLive(['samples', container.id, span, query.since, query.until], () => tabique.samples(zoom
    ? { subject: container.id, since: new Date(since).toISOString(), until: new Date(until).toISOString(), step: step + 's' }
    : { subject: container.id, since: new Date(Date.now() - width).toISOString(), step: step + 's' }), { interval: zoom ? 0 : Math.max(2000, step * 1000) });
  const marks = useLive(['chart-marks', container.id, Math.floor(since / 10000), zoom ? until : span], () => tabique.marks({ container: container.id, since: new Date(since).toISOString(), until: new Date(until).toISOString(), buckets: 1 }), { interval: zoom ? 0 : 10000 });
  const lastMarks = useRef(/** @type {any[]} */ ([]));
  if (marks.data) lastMarks.current = marks.data.events.filter((e) => !e.action.startsWith('exec_')).map((e) => ({ time: Date.parse(e.time) / 1000, text: e.action, bad: e.action === 'oom' || (e.action === 'die' && e.attributes.exitCode !== '0') }));
  const moment = Number.isNaN(Date.parse(query.moment)) ? '' : query.moment;
  const samples = live.data?.samples ?? [];
  const data = useMemo(() => ({
    times: samples.map((s) => Date.parse(s.time) / 1000), cpu: samples.map((s) => s.cpuPercent), cpuMax: samples.map((s) => s.cpuPercentMax), memory: samples.map((s) => s.memoryBytes),
    rx: rates(samples, 'netRxBytes'), tx: rates(samples, 'netTxBytes'), read: rates(samples, 'blockReadBytes'), write: rates(samples, 'blockWriteBytes'), pids: samples.map((s) => s.pids),
  }), [live.data]);
  const shared = { times: data.times, range: /** @type {[number, number]} */ ([since, until]), sync: 'container', events: lastMarks.current, moment: moment ? Date.parse(moment) / 1000 : null,
    onRange: (a, b) => setZoom([Math.round(a), Math.round(b)]), onMoment: (time) => setQuery({ moment: new Date(time).toISOString() }) };
  return html`<div class="scroll charts"><${Filterbar}><${Choice} label=${t('slider.span')} value=${zoom ? '' : span} onChange=${(s) => setQuery({ span: s, since: '', until: '', moment: '' })} options=${Object.keys(spans).map((s) => [s, t('span.' + s)])} />
      ${zoom ? html`<button type="button" onClick=${() => setZoom(null)}>${t('charts.back')}</button>` : html`<span class="quiet-text">${t('charts.hint')}</span>`}<span class="grow"></span>${moment && html`<a class="button primary" href=${link('/compare/' + encodeURIComponent(container.name), { at: moment })}><${Icon} name="compare" /> ${t('charts.compareAt', { time: clock(moment) })}</a><button type="button" class="quiet icon-only" aria-label=${t('close')} onClick=${() => setQuery({ moment: '' })}><${Icon} name="close" /></button>`}</${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Chart} ...${shared} max=${1} label=${t('cpu')} format=${percent} series=${[{ label: t('charts.peak'), values: data.cpuMax, colour: 'c2', thin: true }, { label: t('charts.mean'), values: data.cpu, colour: 'c1', fill: true }]} />
    <${Chart} ...${shared} label=${t('memory')} binary=${true} format=${bytes} series=${[{ label: t('charts.used'), values: data.memory, colour: 'c3', fill: true }]} />
    <${Chart} ...${shared} max=${1024} label=${t('network')} binary=${true} format=${rate} series=${[{ label: t('charts.in'), values: data.rx, colour: 'c1' }, { label: t('charts.out'), values: data.tx, colour: 'c2' }]} />
    <${Chart} ...${shared} max=${1024} label=${t('charts.block')} binary=${true} format=${rate} series=${[{ label: t('charts.read'), values: data.read, colour: 'c1' }, { label: t('charts.write'), values: data.write, colour: 'c2' }]} />
    <${Chart} ...${shared} label=${t('processes')} format=${(v) => number(Math.round(v))} whole=${true} series=${[{ label: t('processes'), values: data.pids, colour: 'c4', fill: true }]} /></div>`;
}
