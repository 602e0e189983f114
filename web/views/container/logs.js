/* logs.js - what a container says, live; only the lines in sight exist. */
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from '../../app/html.js';
import { t, number, clock } from '../../app/i18n.js';
import { send, DOCKER } from '../../app/api.js';
import { setQuery } from '../../app/router.js';
import { fold, visible } from '../../app/text.js';
import { LogReader, levelOf } from '../../app/logs.js';
import { Filterbar, Problem, Search, Select, Toggle, saveAs } from '../../components/bits.js';
import { Icon } from '../../components/icons.js';

const KEEP = 100000;
const LINE = 20;

export default function Logs({ container: c, inspect, query }) {
  const [version, setVersion] = useState(0);
  const [error, setError] = useState(/** @type {any} */ (null));
  const [follow, setFollow] = useState(true);
  const [times, setTimes] = useState(true);
  const [wrap, setWrap] = useState(false);
  const [level, setLevel] = useState('');
  const [view, setView] = useState({ first: 0, count: 60 });
  const lines = useRef(/** @type {any[]} */ ([]));
  const dropped = useRef(0);
  const box = useRef(/** @type {HTMLDivElement} */ (null));
  const since = query.since ?? '', tail = query.tail ?? '2000';
  const tty = inspect?.Config?.Tty;

  useEffect(() => {
    if (tty === undefined) return;
    lines.current = [];
    dropped.current = 0;
    setVersion((n) => n + 1);
    let ended = false, timer = 0, abort = new AbortController(), last = '';
    const read = async () => {
      const reader = new LogReader(tty);
      try {
        const response = await send('GET', `${DOCKER}/containers/${c.id}/logs`, { query: { stdout: true, stderr: true, timestamps: true, follow: c.state === 'running', tail: last ? 'all' : tail, since: last || (since ? String(Date.parse(since) / 1000) : '') }, signal: abort.signal, accept: '*/*' });
        const stream = response.body.getReader();
        let drawn = 0;
        for (;;) {
          const { done, value } = await stream.read();
          const more = done ? reader.end() : reader.push(value);
          for (const line of more) {
            line.level = levelOf(line.text);
            if (line.time) last = String(Date.parse(line.time) / 1000 + 0.000001);
          }
          if (more.length) {
            lines.current.push(...more);
            if (lines.current.length > KEEP + 5000) { dropped.current += lines.current.length - KEEP; lines.current.splice(0, lines.current.length - KEEP); }
            if (!drawn) drawn = requestAnimationFrame(() => { drawn = 0; setVersion((n) => n + 1); });
          }
          if (done) break;
        }
        setError(null);
      } catch (problem) {
        if (problem.name === 'AbortError') return;
        setError(problem);
        if (!ended) timer = setTimeout(read, 3000);
      }
    };
    read();
    return () => { ended = true; clearTimeout(timer); abort.abort(); };
  }, [c.id, c.state, tty, since, tail]);

  const shown = useMemo(() => {
    const words = fold(query.q ?? '').split(/\s+/).filter(Boolean);
    if (!words.length && !level) return lines.current;
    return lines.current.filter((line) => (!level || (level === 'stderr' ? line.stream === 2 : line.level === level)) && words.every((word) => fold(line.text).includes(word)));
  }, [version, query.q, level]);
  const measure = () => {
    const el = box.current;
    if (!el) return;
    const first = Math.max(0, Math.floor(el.scrollTop / LINE) - 20), count = Math.ceil(el.clientHeight / LINE) + 40;
    setView((old) => (old.first === first && old.count === count ? old : { first, count }));
    const atEnd = el.scrollTop + el.clientHeight >= el.scrollHeight - LINE * 1.5;
    if (atEnd !== follow && el.scrollHeight > el.clientHeight + LINE) setFollow(atEnd);
  };
  useLayoutEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
    measure();
  }, [version, follow, shown.length, wrap]);
  /* Wrapped lines have no known height: then the last thousand are shown as they are. */
  const slice = wrap ? shown.slice(-1000) : shown.slice(view.first, view.first + view.count);
  return html`<${Filterbar}><${Search} value=${query.q ?? ''} label=${t('logs.search')} onChange=${(q) => setQuery({ q })} />
      <${Select} label=${t('logs.level')} value=${level} onChange=${setLevel} options=${[['', t('all')], ['error', t('logs.error')], ['warn', t('logs.warn')], ['stderr', 'stderr']]} />
      <${Select} label=${t('logs.tail')} value=${tail} onChange=${(v) => setQuery({ tail: v })} options=${[['200', t('logs.last', { n: 200 })], ['2000', t('logs.last', { n: 2000 })], ['20000', t('logs.last', { n: 20000 })], ['all', t('all')]]} />
      <${Toggle} checked=${times} onChange=${setTimes}>${t('logs.times')}</${Toggle}><${Toggle} checked=${wrap} onChange=${setWrap}>${t('logs.wrap')}</${Toggle}><${Toggle} checked=${follow} onChange=${setFollow}>${t('logs.follow')}</${Toggle}>
      <button type="button" onClick=${() => saveAs(c.name + '.log', 'text/plain', lines.current.map((l) => (l.time ? l.time + ' ' : '') + l.text).join('\n') + '\n')}><${Icon} name="download" /> ${t('logs.download')}</button>
      <span class="quiet-text num">${t('logs.count', { n: shown.length })}${dropped.current ? ' ' + t('logs.dropped', { n: dropped.current }) : ''}</span></${Filterbar}>
    <${Problem} error=${error} stale=${true} />
    <div class=${'log' + (wrap ? ' wrap' : '')} ref=${box} onScroll=${measure} tabindex="0" role="log" aria-live="off" aria-label=${t('tab.logs')}>
      ${shown.length === 0 && html`<p class="quiet-text">${t(query.q || level ? 'logs.nomatch' : 'logs.none')}</p>`}
      ${!wrap && html`<div style=${{ height: view.first * LINE + 'px' }}></div>`}
      ${slice.map((line, i) => html`<div class=${'log-line ' + line.level + (line.stream === 2 ? ' stderr' : '')} key=${(wrap ? 0 : view.first) + i}>${times && line.time && html`<time title=${line.time}>${clock(line.time)}</time>`}<span dir="auto">${visible(line.text) || ' '}</span></div>`)}
      ${!wrap && html`<div style=${{ height: Math.max(0, shown.length - view.first - slice.length) * LINE + 'px' }}></div>`}
    </div>`;
}
export { number };
