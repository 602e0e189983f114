/* logs.js - what a container says, live; only the lines in sight exist, wrapped or
 * not, so that a hundred thousand scroll as ten do. */
import { html, useEffect, useLayoutEffect, useRef, useState } from '../../app/html.js';
import { t, clock, dateTime, localInput } from '../../app/i18n.js';
import { send, DOCKER } from '../../app/api.js';
import { link, setQuery } from '../../app/router.js';
import { useStore } from '../../app/store.js';
import { settings, changeSettings } from '../../app/settings.js';
import { fold, visible } from '../../app/text.js';
import { LogReader, levelOf, rowsOf } from '../../app/logs.js';
import { Filterbar, Problem, Search, Select, Toggle, saveAs } from '../../components/bits.js';
import { attempt } from '../../components/overlay.js';
import { Icon } from '../../components/icons.js';

const KEEP = 100000, DROP = 5000;
const LINE = 20;
const levels = { error: (l) => l.level === 'error', warn: (l) => l.level === 'warn' || l.level === 'error', info: (l) => l.level === 'info', debug: (l) => l.level === 'debug', stdout: (l) => l.stream !== 2, stderr: (l) => l.stream === 2 };
const seconds = (iso) => (iso && !Number.isNaN(Date.parse(iso)) ? String(Date.parse(iso) / 1000) : '');

/** The stream of one log, read to its end. @param {any} query @param {(lines: any[]) => void} each */
async function readLog(container, tty, query, each, signal) {
  const reader = new LogReader(tty);
  const response = await send('GET', `${DOCKER}/containers/${container}/logs`, { query: { stdout: true, stderr: true, timestamps: true, ...query }, signal, accept: '*/*' });
  const stream = response.body.getReader();
  for (;;) {
    const { done, value } = await stream.read();
    const more = done ? reader.end() : reader.push(value);
    for (const line of more) /** @type {any} */ (line).level = levelOf(line.text);
    if (more.length) each(more);
    if (done) return;
  }
}

/** Lines that fit, and from which row on each stands; both grow as lines come. */
class Shown {
  constructor(fits, columns) { this.fits = fits; this.columns = columns; this.seen = 0; this.lines = []; this.starts = [0]; }
  take(lines) {
    for (; this.seen < lines.length; this.seen++) {
      const line = lines[this.seen];
      if (!this.fits(line)) continue;
      this.lines.push(line);
      this.starts.push(this.starts[this.starts.length - 1] + (this.columns ? rowsOf(line.text, this.columns) : 1));
    }
    return this;
  }
  get rows() { return this.starts[this.starts.length - 1]; }
  /** The line that stands at a row. */
  at(row) {
    let low = 0, high = this.lines.length;
    while (low < high) { const middle = (low + high) >> 1; if (this.starts[middle + 1] <= row) low = middle + 1; else high = middle; }
    return low;
  }
}

/** Where the words that are searched for stand. */
function marked(text, words) {
  if (!words.length) return text;
  const low = text.toLowerCase();
  const out = [];
  for (let at = 0; at < text.length;) {
    let next = -1, length = 0;
    for (const word of words) { const found = low.indexOf(word, at); if (found >= 0 && (next < 0 || found < next)) { next = found; length = word.length; } }
    if (next < 0) { out.push(text.slice(at)); break; }
    if (next > at) out.push(text.slice(at, next));
    out.push(html`<mark>${text.slice(next, next + length)}</mark>`);
    at = next + length;
  }
  return out;
}

export default function Logs({ container: c, inspect, query }) {
  const [, setVersion] = useState(0);
  const [error, setError] = useState(/** @type {any} */ (null));
  const [follow, setFollow] = useState(true);
  const [view, setView] = useState({ top: 0, height: 800, columns: 100 });
  const { logTimes: times, logWrap: wrap } = useStore(settings);
  const lines = useRef(/** @type {any[]} */ ([]));
  const dropped = useRef(0);
  const box = useRef(/** @type {HTMLDivElement} */ (null));
  const ruler = useRef(/** @type {HTMLSpanElement} */ (null));
  const shown = useRef(/** @type {any} */ ({ key: null, list: new Shown(() => true, 0) }));
  const since = query.since ?? '', until = query.until ?? '', tail = query.tail ?? (since ? 'all' : '2000'), level = query.level ?? '';
  const tty = inspect?.Config?.Tty;
  const words = fold(query.q ?? '').split(/\s+/).filter(Boolean);

  useEffect(() => {
    if (tty === undefined) return;
    lines.current = [];
    dropped.current = 0;
    shown.current = { key: null, list: null };
    setVersion((n) => n + 1);
    let ended = false, timer = 0, abort = new AbortController(), last = '', drawn = 0;
    const live = c.state === 'running' && !until;
    const read = async () => {
      try {
        await readLog(c.id, tty, { follow: live, tail: last ? 'all' : tail, since: last || seconds(since), until: seconds(until) }, (more) => {
          const time = more.findLast((line) => line.time)?.time;
          if (time) last = String(Date.parse(time) / 1000 + 0.000001);
          lines.current.push(...more);
          if (lines.current.length > KEEP + DROP) {
            dropped.current += lines.current.length - KEEP;
            lines.current = lines.current.slice(-KEEP);
            shown.current = { key: null, list: null };
          }
          drawn ||= requestAnimationFrame(() => { drawn = 0; setVersion((n) => n + 1); });
        }, abort.signal);
        setError(null);
      } catch (problem) {
        if (problem.name === 'AbortError') return;
        setError(problem);
        if (!ended) timer = setTimeout(read, 3000);
      }
    };
    read();
    return () => { ended = true; clearTimeout(timer); abort.abort(); };
  }, [c.id, c.state, tty, since, until, tail]);

  const key = [words.join(' '), level, wrap ? view.columns : 0].join('|');
  if (shown.current.key !== key || !shown.current.list) {
    const fits = (line) => (!level || levels[level]?.(line)) && words.every((word) => fold(line.text).includes(word));
    shown.current = { key, list: new Shown(words.length || level ? fits : () => true, wrap ? view.columns : 0) };
  }
  const list = /** @type {Shown} */ (shown.current.list).take(lines.current);
  const measure = () => {
    const el = box.current;
    if (!el) return;
    const width = ruler.current ? ruler.current.getBoundingClientRect().width / 100 : 7.5;
    const columns = Math.max(10, Math.floor((el.clientWidth - 37 - (times ? width * 8 + 12 : 0)) / width));
    setView((old) => (Math.abs(old.top - el.scrollTop) < LINE && old.height === el.clientHeight && old.columns === columns ? old : { top: el.scrollTop, height: el.clientHeight, columns }));
    const atEnd = el.scrollTop + el.clientHeight >= el.scrollHeight - LINE * 1.5;
    if (atEnd !== follow && el.scrollHeight > el.clientHeight + LINE) setFollow(atEnd);
  };
  useLayoutEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
    measure();
  }, [list.rows, follow, wrap, times]);
  useEffect(() => {
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, [wrap, times]);
  const first = list.at(Math.max(0, Math.floor(view.top / LINE) - 20));
  const end = Math.min(list.lines.length, list.at(Math.ceil((view.top + view.height) / LINE) + 20) + 1);
  const download = () => attempt(async () => {
    const all = [];
    await readLog(c.id, tty, { tail: 'all', since: seconds(since), until: seconds(until) }, (more) => { for (const l of more) all.push((l.time ? l.time + ' ' : '') + l.text); }, undefined);
    saveAs(c.name + '.log', 'text/plain', all.join('\n') + '\n');
  });
  const range = since || until;
  const moment = (name, label) => html`<label class="inline-field"><span>${label}</span><input type="datetime-local" step="1" value=${localInput(query[name])} onChange=${(e) => setQuery({ [name]: e.target.value ? new Date(e.target.value).toISOString() : '', tail: '' })} /></label>`;
  return html`<${Filterbar}><${Search} value=${query.q ?? ''} label=${t('logs.search')} onChange=${(q) => setQuery({ q })} />
      <${Select} label=${t('logs.level')} value=${level} onChange=${(value) => setQuery({ level: value })} options=${[['', t('logs.anyLevel')], ['error', t('logs.error')], ['warn', t('logs.warn')], ['info', t('logs.info')], ['debug', t('logs.debug')], ['stdout', 'stdout'], ['stderr', 'stderr']]} />
      <${Select} label=${t('logs.tail')} value=${range ? 'range' : tail} onChange=${(v) => setQuery(v === 'range' ? { since: new Date(Date.now() - 3600e3).toISOString(), tail: '' } : { tail: v === '2000' ? '' : v, since: '', until: '' })} options=${[['200', t('logs.last', { n: 200 })], ['2000', t('logs.last', { n: 2000 })], ['20000', t('logs.last', { n: 20000 })], ['all', t('logs.all')], ['range', t('logs.range')]]} />
      ${range && html`${moment('since', t('logs.since'))}${moment('until', t('logs.until'))}`}
      <span class="toggle-group"><${Toggle} checked=${times} onChange=${(logTimes) => changeSettings({ logTimes })}>${t('logs.times')}</${Toggle}><${Toggle} checked=${wrap} onChange=${(logWrap) => changeSettings({ logWrap })}>${t('logs.wrap')}</${Toggle}><${Toggle} checked=${follow} onChange=${setFollow}>${t('logs.follow')}</${Toggle}></span>
      <span class="grow"></span><span class="quiet-text num">${t('logs.count', { n: list.lines.length })}${dropped.current ? ' ' + t('logs.dropped', { n: dropped.current }) : ''}</span>
      <button type="button" title=${t('logs.download')} aria-label=${t('logs.download')} onClick=${download}><${Icon} name="download" /><span class="words">${t('logs.download')}</span></button></${Filterbar}>
    <${Problem} error=${error} stale=${true} />
    <div class=${'log' + (wrap ? ' wrap' : '')} ref=${box} onScroll=${measure} tabindex="0" role="log" aria-live="off" aria-label=${t('tab.logs')}>
      <span class="ruler" ref=${ruler} aria-hidden="true">${'0'.repeat(100)}</span>
      ${list.lines.length === 0 && html`<p class="quiet-text">${t(query.q || level ? 'logs.nomatch' : 'logs.none')}</p>`}
      <div style=${{ height: list.starts[first] * LINE + 'px' }}></div>
      ${list.lines.slice(first, end).map((line, i) => html`<div class=${'log-line ' + line.level + (line.stream === 2 ? ' stderr' : '')} key=${first + i}>${times && line.time && html`<a class="when" tabindex="-1" href=${link('/compare/' + encodeURIComponent(c.name), { at: line.time })} title=${dateTime(line.time) + ' · ' + t('logs.then')}>${clock(line.time)}</a>`}<span dir="auto">${line.text ? marked(visible(line.text), words) : ' '}</span></div>`)}
      <div style=${{ height: (list.rows - list.starts[end]) * LINE + 'px' }}></div>
    </div>`;
}
