/* events.js - what happened, and which processes lived. */
import { html, useMemo, useState } from '../app/html.js';
import { t, has, dateTime, age, clock, localInput } from '../app/i18n.js';
import { tabique } from '../app/api.js';
import { useLive } from '../app/live.js';
import { useContainers } from '../app/sources.js';
import { link, setQuery } from '../app/router.js';
import { fold, visible, csv, imageName, shortId } from '../app/text.js';
import { by, processKey } from '../app/processes.js';
import { Choice, Filterbar, Head, Problem, Search, Select, Toggle, openView, saveAs } from '../components/bits.js';
import { argumentsOf } from '../components/panes.js';
import { Columns, Table } from '../components/table.js';
import { Menu } from '../components/overlay.js';
import { WallBadge } from '../components/wall.js';
import { Icon } from '../components/icons.js';

export default function Events({ query }) {
  const lives = query.view === 'lives';
  return html`<div class="view">${lives ? html`<${Lives} query=${query} />` : html`<${Happened} query=${query} />`}</div>`;
}
const views = (query) => html`<${Choice} label=${t('events.view')} value=${query.view ?? ''} onChange=${(view) => setQuery({ view, sort: '' })} options=${[['', t('events.events')], ['lives', t('events.lives')]]} />`;

export function describeEvent(e) {
  const a = e.attributes ?? {};
  const extra = Object.entries(a).filter(([key]) => !['name', 'image', 'exitCode'].includes(key) && !key.includes('.')).slice(0, 4).map(([key, value]) => `${key}=${/^[0-9a-f]{64}$/.test(value) ? shortId(value) : value}`);
  if (a.exitCode !== undefined) extra.unshift(t('exitCode') + ' ' + a.exitCode);
  return visible(extra.join('  '));
}

/* The caller's "at about ten past two". */
const AROUND_MS = 5 * 60e3;

/** @param {{query: any, container?: string}} props */
export function Happened({ query, container = '' }) {
  const moment = Date.parse(query.at), at = Number.isNaN(moment) ? '' : query.at;
  const around = at ? { since: new Date(moment - AROUND_MS).toISOString(), until: new Date(moment + AROUND_MS).toISOString() } : {};
  const live = useLive(['events', container, query.type ?? '', at], () => tabique.events({ order: 'desc', limit: 2000, type: query.type, id: container, ...around }), { interval: at ? 0 : 3000 });
  const [active, setActive] = useState(/** @type {any} */ (null));
  const sort = query.sort ?? '-time';
  const rows = useMemo(() => {
    const words = fold(query.q ?? '').split(/\s+/).filter(Boolean);
    const found = (live.data?.events ?? []).filter((e) => words.every((word) => fold(`${e.type} ${e.action} ${e.id} ${Object.entries(e.attributes).flat().join(' ')}`).includes(word)));
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    return found.sort((a, b) => by(key, descending)(a, b) || b.sequence - a.sequence);
  }, [live.data, query.q, sort]);
  const columns = [
    { key: 'time', label: t('time'), width: (w) => (w < 520 ? 92 : 176), sort: true, render: (e) => html`<time datetime=${e.time} title=${dateTime(e.time)}><span class="narrow-only">${clock(e.time)}</span><span class="wide-only">${dateTime(e.time)}</span></time>` },
    { key: 'type', label: t('events.type'), width: 126, sort: true, min: 560, render: (e) => (has('type.' + e.type) ? t('type.' + e.type) : visible(e.type)) },
    { key: 'action', label: t('events.action'), width: (w) => (w < 520 ? 120 : 170), sort: true, render: (e) => html`<span class=${'event-action ' + kindOf(e)}>${visible(e.action)}</span>` },
    { key: 'who', label: t('events.who'), render: (e) => html`<span class="cut">${e.type === 'container' && !container ? html`<a href=${link('/compare/' + encodeURIComponent(e.attributes.name ?? e.id), { at: e.time })}>${visible(e.attributes.name ?? e.id.slice(0, 12))}</a>` : imageName(e.attributes.name ?? e.id.slice(0, 24))}</span>` },
    { key: 'detail', label: t('events.detail'), min: 820, render: (e) => html`<span class="cut quiet-text">${describeEvent(e)}</span>`, title: describeEvent },
  ];
  return html`
    ${!container && html`<${Head} title=${t('nav.events')} sub=${live.data ? t('events.count', { n: rows.length }) : ''}>
      <${Columns} name="events" columns=${columns} />
      <${Menu} quiet=${false} title=${t('export')} label=${html`<${Icon} name="download" /><span class="words">${t('export')}</span>`} items=${[
        { label: 'CSV', run: () => saveAs('events.csv', 'text/csv', csv(['time', 'type', 'action', 'id', 'attributes'], rows.map((e) => [e.time, e.type, e.action, e.id, JSON.stringify(e.attributes)]))) },
        { label: 'JSON', run: () => saveAs('events.json', 'application/json', JSON.stringify(rows, null, 2)) }]} /></${Head}>`}
    <${Filterbar}><${Search} value=${query.q ?? ''} label=${t('events.search')} onChange=${(q) => setQuery({ q })} />
      ${!container && html`<${Select} label=${t('events.type')} value=${query.type ?? ''} onChange=${(type) => setQuery({ type })} options=${[['', t('all')], ...['container', 'image', 'network', 'volume', 'engine', 'worker', 'notification'].map((type) => [type, t('type.' + type)])]} />`}
      <${Select} label=${t('slider.span')} value=${at ? 'at' : ''} onChange=${(s) => setQuery({ at: s && new Date(Date.now() - 60000).toISOString() })} options=${[['', t('events.latest')], ['at', t('events.around')]]} />
      ${at && html`<input type="datetime-local" step="1" aria-label=${t('events.around')} value=${localInput(at)} onChange=${(e) => setQuery({ at: e.target.value ? new Date(e.target.value).toISOString() : '' })} />`}
      ${!container && views(query)}</${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} name="events" label=${t('nav.events')} columns=${columns} rows=${rows} rowKey=${(e) => String(e.sequence)} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${live.loading} empty=${t('events.none')}
      onActive=${setActive} onOpen=${(e) => e.type === 'container' && openView('/compare/' + encodeURIComponent(e.attributes.name ?? e.id), { at: e.time })} />
    ${active && html`<section class="detail" aria-label=${t('events.detail')}><dl class="detail-facts">${[['id', active.id], ...Object.entries(active.attributes)].slice(0, 14).map(([key, value]) => html`<div key=${key}><dt>${visible(key)}</dt><dd class="mono cut">${visible(value)}</dd></div>`)}</dl></section>`}`;
}
function kindOf(e) {
  if (e.action === 'oom' || (e.action === 'die' && e.attributes.exitCode !== '0')) return 'bad';
  if (/^(start|unpause|create|pull|load)/.test(e.action)) return 'good';
  return '';
}

/* A moment at which it surely was there: times are kept finer than a browser reads them. */
const lookAt = (p) => { const from = Date.parse(p.startedAt), to = p.endedAt ? Date.parse(p.endedAt) : from + 1000; return new Date(Math.ceil(from + Math.min(500, (to - from) / 2))).toISOString(); };
const ownerId = (p) => p.containerId || (p.side !== 'host' ? p.side : '');

/** Page by page, oldest first, as the server has them; the newest are kept. */
async function allLives(query) {
  let processes = [], after;
  for (let page = 0; page < 8; page++) {
    const answer = await tabique.lives({ ...query, limit: 10000, after });
    processes = [...processes, ...answer.processes].slice(-20000);
    if (!answer.next) break;
    after = answer.next;
  }
  return { processes };
}

/** The caller at ten past two: a name, whose it was, and the moment to look at. */
function Lives({ query }) {
  const containers = useContainers();
  const search = query.q ?? '';
  const span = query.span ?? '1h';
  const at = Number.isNaN(Date.parse(query.at)) ? '' : query.at;
  const since = useMemo(() => new Date(Date.now() - { '1h': 3600e3, '24h': 86400e3, '7d': 7 * 86400e3 }[span]).toISOString(), [span]);
  const live = useLive(['lives', search, at || span], () => allLives(at ? { search, since: at, until: at } : { search, since }), { interval: at ? 0 : 5000 });
  const owners = useMemo(() => new Map((containers.data?.containers ?? []).map((c) => [c.id, c])), [containers.data]);
  const sort = query.sort ?? '-startedAt';
  const rows = useMemo(() => {
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    return (live.data?.processes ?? []).filter((p) => !query.owned || ownerId(p)).sort(by(key, descending));
  }, [live.data, sort, query.owned]);
  const ownerName = (p) => visible(owners.get(ownerId(p))?.name ?? ownerId(p).slice(0, 12));
  const columns = [
    { key: 'name', label: t('process.name'), sort: true, render: (p) => html`<span class="cut"><span class="process-name">${visible(p.name)}</span> <span class="process-args">${argumentsOf(p)}</span></span>`, title: (p) => visible(p.command) },
    { key: 'pid', label: t('process.pid'), width: (w) => (w < 520 ? 62 : 80), align: /** @type {'end'} */ ('end'), sort: true, render: (p) => html`<span class="mono">${p.pid}</span>` },
    { key: 'containerId', label: t('owner'), width: (w) => (w < 520 ? 120 : 190), sort: true, render: (p) => (ownerId(p) ? html`<a class="owner" href=${link('/compare/' + encodeURIComponent(owners.get(ownerId(p))?.name ?? ownerId(p)), { at: at || lookAt(p), q: p.name })}><${WallBadge} isolation=${owners.get(ownerId(p))?.isolation ?? (p.side !== 'host' || p.worker ? 'hyperv' : 'process')} word=${false} /> ${ownerName(p)}</a>` : html`<span class="quiet-text">${t('owner.nobody')}</span>`) },
    { key: 'startedAt', label: t('process.started'), width: 180, sort: true, min: 620, render: (p) => dateTime(p.startedAt) },
    { key: 'endedAt', label: t('process.ended'), width: 180, sort: true, min: 820, render: (p) => (p.endedAt ? dateTime(p.endedAt) : html`<span class="tag born">${t('process.alive')}</span>`) },
    { key: 'lived', label: t('process.lived'), width: 90, align: /** @type {'end'} */ ('end'), min: 980, render: (p) => age(((p.endedAt ? Date.parse(p.endedAt) : Date.now()) - Date.parse(p.startedAt)) / 1000) },
  ];
  return html`<${Head} title=${t('nav.events')} sub=${live.data ? t('events.livesCount', { n: rows.length }) : ''}>
      <${Columns} name="lives" columns=${columns} />
      <button type="button" onClick=${() => saveAs('processes.csv', 'text/csv', csv(['pid', 'name', 'command', 'user', 'container', 'startedAt', 'endedAt'], rows.map((p) => [p.pid, p.name, p.command, p.user, ownerName(p), p.startedAt, p.endedAt])))}><${Icon} name="download" /><span class="words">CSV</span></button></${Head}>
    <${Filterbar}><${Search} value=${search} label=${t('events.searchLives')} onChange=${(q) => setQuery({ q })} />
      <${Select} label=${t('slider.span')} value=${at ? 'at' : span} onChange=${(s) => setQuery(s === 'at' ? { at: new Date(Date.now() - 60000).toISOString() } : { span: s, at: '' })} options=${[...['1h', '24h', '7d'].map((s) => [s, t('span.' + s)]), ['at', t('events.at')]]} />
      ${at && html`<input type="datetime-local" step="1" aria-label=${t('events.at')} value=${localInput(at)} onChange=${(e) => setQuery({ at: e.target.value ? new Date(e.target.value).toISOString() : '' })} />`}<${Toggle} checked=${query.owned === '1'} onChange=${(owned) => setQuery({ owned })}>${t('owner.containers')}</${Toggle}>${views(query)}</${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} name="lives" label=${t('events.lives')} columns=${columns} rows=${rows} rowKey=${(p) => p.id + processKey(p)} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${live.loading} empty=${t('host.nomatch')}
      onOpen=${(p) => ownerId(p) && openView('/compare/' + encodeURIComponent(owners.get(ownerId(p))?.name ?? ownerId(p)), { at: at || lookAt(p), q: p.name })} />`;
}
