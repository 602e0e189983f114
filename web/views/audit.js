/* audit.js - who did what, from where, and how it ended. */
import { html, useMemo } from '../app/html.js';
import { t, dateTime } from '../app/i18n.js';
import { tabique } from '../app/api.js';
import { useLive } from '../app/live.js';
import { setQuery } from '../app/router.js';
import { fold, visible, csv } from '../app/text.js';
import { by } from '../app/processes.js';
import { Choice, Filterbar, Head, Problem, Search, saveAs } from '../components/bits.js';
import { Table } from '../components/table.js';
import { Icon } from '../components/icons.js';

export default function Audit({ query }) {
  const live = useLive('audit', () => tabique.audit({ limit: 2000 }), { interval: 4000 });
  const sort = query.sort ?? '-time';
  const rows = useMemo(() => {
    const words = fold(query.q ?? '').split(/\s+/).filter(Boolean);
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    return (live.data?.entries ?? []).filter((e) => (!query.refused || e.result >= 400) && words.every((word) => fold(`${e.who} ${e.role} ${e.from} ${e.what} ${e.target} ${e.result}`).includes(word))).sort((a, b) => by(key, descending)(a, b) || b.id - a.id);
  }, [live.data, query.q, query.refused, sort]);
  const columns = [
    { key: 'time', label: t('time'), width: 176, sort: true, render: (e) => dateTime(e.time) },
    { key: 'who', label: t('audit.who'), width: 150, sort: true, render: (e) => html`<span class="cut strong">${visible(e.who || '–')}</span>` },
    { key: 'what', label: t('audit.what'), width: 180, sort: true, render: (e) => html`<code>${visible(e.what)}</code>` },
    { key: 'target', label: t('audit.target'), sort: true, min: 640, render: (e) => html`<span class="cut mono">${visible(e.target ?? '')}</span>`, title: (e) => visible(e.detail ?? '') },
    { key: 'from', label: t('audit.from'), width: 150, sort: true, min: 820, render: (e) => html`<span class="mono">${visible(e.from)}</span>` },
    { key: 'role', label: t('role'), width: 100, sort: true, min: 960, render: (e) => (e.role && e.role !== 'none' ? t('role.' + e.role) : '–') },
    { key: 'result', label: t('audit.result'), width: 80, align: /** @type {'end'} */ ('end'), sort: true, render: (e) => html`<span class=${e.result >= 400 ? 'bad-text num' : 'num'}>${e.result}</span>` },
  ];
  return html`<div class="view"><${Head} title=${t('nav.audit')} sub=${live.data ? t('audit.count', { n: rows.length }) : ''}>
      <button type="button" onClick=${() => saveAs('audit.csv', 'text/csv', csv(['time', 'who', 'role', 'from', 'what', 'target', 'result', 'detail'], rows.map((e) => [e.time, e.who, e.role, e.from, e.what, e.target, e.result, e.detail])))}><${Icon} name="download" /> CSV</button></${Head}>
    <${Filterbar}><${Search} value=${query.q ?? ''} label=${t('audit.search')} onChange=${(q) => setQuery({ q })} />
      <${Choice} label=${t('audit.result')} value=${query.refused ? '1' : ''} onChange=${(refused) => setQuery({ refused })} options=${[['', t('all')], ['1', t('audit.refused')]]} /></${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} label=${t('nav.audit')} columns=${columns} rows=${rows} rowKey=${(e) => String(e.id)} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${live.loading} /></div>`;
}
