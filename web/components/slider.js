/* slider.js - a stretch of time to look back in: where processes were born and
 * died and events happened, with play, step and speed. */
import { html, useEffect, useRef, useMemo } from '../app/html.js';
import { t, clock, shortDate, dateTime } from '../app/i18n.js';
import { useNow } from '../app/live.js';
import { Icon } from './icons.js';
import { Select } from './bits.js';

export const spans = { '10m': 600e3, '1h': 3600e3, '6h': 6 * 3600e3, '24h': 86400e3, '7d': 7 * 86400e3 };

/** Moments worth stopping at. @param {any} marks */
export function stops(marks) {
  if (!marks) return [];
  const since = Date.parse(marks.since), until = Date.parse(marks.until);
  const width = (until - since) / marks.buckets;
  const out = new Set(marks.events.map((event) => Date.parse(event.time)));
  for (let i = 0; i < marks.buckets; i++)
    if (marks.births[i] || marks.deaths[i]) out.add(Math.round(since + (i + 1) * width));
  return [...out].sort((a, b) => a - b);
}

/** @param {{span: string, at: number|null, marks: any, playing: boolean, speed: number, pinned: number|null, onSpan: (s: string) => void,
 *   onAt: (at: number|null) => void, onPlaying: (p: boolean) => void, onSpeed: (s: number) => void, range: {since: number, until: number}}} props */
export function TimeSlider({ span, at, marks, playing, speed, pinned, onSpan, onAt, onPlaying, onSpeed, range }) {
  const now = useNow(5000);
  const { since, until } = range;
  const place = (time) => Math.max(0, Math.min(1000, ((time - since) / (until - since)) * 1000));
  const points = useMemo(() => stops(marks), [marks]);
  const moment = useRef(at);
  moment.current = at;

  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() => {
      const next = (moment.current ?? since) + 250 * speed;
      if (next >= Date.now()) { onAt(null); onPlaying(false); } else onAt(next);
    }, 250);
    return () => clearInterval(timer);
  }, [playing, speed, since]);

  const step = (direction) => {
    const here = at ?? until;
    const next = direction > 0 ? points.find((p) => p > here + 1) : [...points].reverse().find((p) => p < here - 1);
    onPlaying(false);
    if (next !== undefined) onAt(next);
    else if (direction > 0) onAt(null);
    else onAt(Math.max(since, here - (until - since) / 60));
  };
  const bars = useMemo(() => {
    if (!marks) return null;
    const width = 1000 / marks.buckets;
    const top = Math.max(1, ...marks.births, ...marks.deaths);
    const bar = (counts, up) => counts.map((n, i) => {
      if (!n) return '';
      const height = 3 + 9 * Math.sqrt(n / top);
      return `M${(i * width).toFixed(1)} 16v${up ? '-' : ''}${height.toFixed(1)}h${Math.max(1.6, width - 0.6).toFixed(1)}v${up ? '' : '-'}${height.toFixed(1)}z`;
    }).join('');
    const s = Date.parse(marks.since), u = Date.parse(marks.until);
    return { births: bar(marks.births, true), deaths: bar(marks.deaths, false), events: marks.events.map((e) => ((Date.parse(e.time) - s) / (u - s)) * 1000) };
  }, [marks]);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => since + part * (until - since));
  const label = span === '24h' || span === '7d' ? shortDate : clock;
  const value = at === null ? 1000 : place(at);

  return html`<section class=${'slider' + (at !== null ? ' past' : '')} aria-label=${t('slider.label')}>
    <div class="slider-buttons">
      <button type="button" class="quiet icon-only" aria-label=${t('slider.back')} title=${t('slider.back')} onClick=${() => step(-1)}><${Icon} name="stepBack" /></button>
      <button type="button" class="quiet icon-only" aria-label=${playing ? t('slider.pause') : t('slider.play')} title=${playing ? t('slider.pause') : t('slider.play')}
        onClick=${() => { if (!playing && at === null) onAt(points[0] ?? since); onPlaying(!playing); }}><${Icon} name=${playing ? 'pause' : 'play'} /></button>
      <button type="button" class="quiet icon-only" aria-label=${t('slider.next')} title=${t('slider.next')} onClick=${() => step(1)}><${Icon} name="stepNext" /></button>
      <${Select} label=${t('slider.speed')} value=${String(speed)} options=${[['1', '1×'], ['10', '10×'], ['60', '60×'], ['600', '600×']]} onChange=${(v) => onSpeed(Number(v))} />
    </div>
    <div class="slider-track">
      <svg viewBox="0 0 1000 32" preserveAspectRatio="none" aria-hidden="true">
        <path class="axis" d="M0 16H1000" />
        ${bars && html`<path class="births" d=${bars.births} /><path class="deaths" d=${bars.deaths} />`}
        ${bars && bars.events.map((x, i) => html`<path key=${i} class="event" d=${`M${x.toFixed(1)} 1v30`} />`)}
        ${pinned !== null && html`<path class="pin" d=${`M${place(pinned)} 0v32`} />`}
        ${at !== null && html`<path class="now" d=${`M${value} 0v32`} />`}
      </svg>
      <input type="range" min="0" max="1000" step="1" value=${value} aria-label=${t('slider.moment')}
        aria-valuetext=${at === null ? t('slider.live') : dateTime(at)}
        onInput=${(event) => {
          const part = Number(event.target.value) / 1000;
          onPlaying(false);
          onAt(part >= 0.999 ? null : Math.round(since + part * (until - since)));
        }} />
      <div class="ticks" aria-hidden="true">${ticks.map((time, i) => html`<span key=${i}>${i === 4 && now - time < 90e3 ? t('slider.now') : label(time)}</span>`)}</div>
    </div>
    <div class="slider-end">
      <output class="moment">${at === null ? t('slider.live') : dateTime(at)}</output>
      <${Select} label=${t('slider.span')} value=${span} options=${Object.keys(spans).map((key) => [key, t('span.' + key)])} onChange=${onSpan} />
      <button type="button" class=${at === null ? 'live-on' : 'primary'} disabled=${at === null} onClick=${() => { onPlaying(false); onAt(null); }}>${t('slider.goLive')}</button>
    </div>
  </section>`;
}
