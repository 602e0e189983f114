/* audit.js - who did what, from where, and how it ended. */
import { html, useMemo } from '../app/html.js';
import { t, clock, dateTime } from '../app/i18n.js';
import { tabique } from '../app/api.js';
import { useLive } from '../app/live.js';
import { useContainers } from '../app/sources.js';
import { link, setQuery } from '../app/router.js';
import { fold, visible, csv } from '../app/text.js';
import { by } from '../app/processes.js';
import { Choice, Filterbar, Head, Problem, Search, Select, saveAs } from '../components/bits.js';
import { Columns, Table } from '../components/table.js';
import { Menu } from '../components/overlay.js';
import { Icon } from '../components/icons.js';

/* Newest first, as far back as the stretch goes, page by page. */
async function allEntries(query) {
  let entries = [], before;
  for (let page = 0; page < 10; page++) {
    const answer = await tabique.audit({ ...query, limit: 1000, before });
    entries = [...entries, ...answer.entries];
    if (!answer.next) break;
    before = answer.next;
  }
  return { entries };
}
const spans = { '24h': 86400e3, '7d': 7 * 86400e3, '30d': 30 * 86400e3 };

export default function Audit({ query }) {
  const span = spans[query.span] ? query.span : '7d';
  const since = useMemo(() => new Date(Date.now() - spans[span]).toISOString(), [span]);
  const live = useLive(['audit', span], () => allEntries({ since }), { interval: 5000 });
  const containers = useContainers();
  const names = useMemo(() => new Map((containers.data?.containers ?? []).map((c) => [c.id, c.name])), [containers.data]);
  const people = useMemo(() => [...new Set((live.data?.entries ?? []).map((e) => e.who || '–'))].sort(), [live.data]);
  const deeds = useMemo(() => [...new Set((live.data?.entries ?? []).map((e) => e.what))].sort(), [live.data]);
  const targetOf = (e) => names.get(e.target) ?? (/^[0-9a-f]{64}$/.test(e.target ?? '') ? e.target.slice(0, 12) : e.target ?? '');
  const sort = query.sort ?? '-time';
  const rows = useMemo(() => {
    const words = fold(query.q ?? '').split(/\s+/).filter(Boolean);
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    return (live.data?.entries ?? []).filter((e) => (!query.refused || e.result >= 400) && (!query.who || (e.who || '–') === query.who) && (!query.what || e.what === query.what) && words.every((word) => fold(`${e.who} ${e.role} ${e.from} ${e.what} ${e.target} ${names.get(e.target) ?? ''} ${e.detail ?? ''} ${e.result}`).includes(word))).sort((a, b) => by(key, descending)(a, b) || b.id - a.id);
  }, [live.data, query.q, query.refused, query.who, query.what, sort, names]);
  const columns = [
    { key: 'time', label: t('time'), width: (w) => (w < 520 ? 92 : 176), sort: true, render: (e) => html`<time datetime=${e.time} title=${dateTime(e.time)}><span class="narrow-only">${clock(e.time)}</span><span class="wide-only">${dateTime(e.time)}</span></time>` },
    { key: 'who', label: t('audit.who'), width: (w) => (w < 520 ? 84 : 150), sort: true, render: (e) => html`<span class="cut strong">${visible(e.who || '–')}</span>` },
    { key: 'what', label: t('audit.what'), width: (w) => (w < 520 ? undefined : 216), sort: true, render: (e) => html`<code class="cut">${visible(e.what)}</code>` },
    { key: 'target', label: t('audit.target'), sort: true, min: 640, render: (e) => (names.has(e.target) ? html`<a class="cut" href=${link('/containers/' + encodeURIComponent(names.get(e.target)))}>${visible(names.get(e.target))}</a>` : html`<span class="cut mono">${visible(targetOf(e)) || '–'}</span>`), title: (e) => visible([e.target, e.detail].filter(Boolean).join(' ')) },
    { key: 'detail', label: t('events.detail'), off: true, width: 220, render: (e) => html`<span class="cut">${visible(e.detail ?? '–')}</span>` },
    { key: 'from', label: t('audit.from'), width: 150, sort: true, min: 820, render: (e) => html`<span class="mono">${visible(e.from)}</span>` },
    { key: 'role', label: t('role'), width: 120, sort: true, min: 960, render: (e) => (e.role && e.role !== 'none' ? t('role.' + e.role) : '–') },
    { key: 'result', label: t('audit.result'), width: (w) => (w < 520 ? 58 : 80), align: /** @type {'end'} */ ('end'), sort: true, render: (e) => html`<span class=${e.result >= 400 ? 'bad-text num' : 'num'}>${e.result ?? '–'}</span>` },
  ];
  return html`<div class="view"><${Head} title=${t('nav.audit')} sub=${live.data ? t('audit.count', { n: rows.length }) : ''}>
      <${Columns} name="audit" columns=${columns} />
      <${Menu} quiet=${false} title=${t('export')} label=${html`<${Icon} name="download" /><span class="words">${t('export')}</span>`} items=${[
        { label: 'CSV', run: () => saveAs('audit.csv', 'text/csv', csv(['time', 'who', 'role', 'from', 'what', 'target', 'result', 'detail'], rows.map((e) => [e.time, e.who, e.role, e.from, e.what, e.target, e.result, e.detail]))) },
        { label: 'JSON', run: () => saveAs('audit.json', 'application/json', JSON.stringify(rows, null, 2)) }]} /></${Head}>
    <${Filterbar}><${Search} value=${query.q ?? ''} label=${t('audit.search')} onChange=${(q) => setQuery({ q })} />
      <${Select} label=${t('slider.span')} value=${span} onChange=${(s) => setQuery({ span: s === '7d' ? '' : s })} options=${Object.keys(spans).map((s) => [s, t('span.' + s)])} />
      <${Select} label=${t('audit.who')} value=${query.who ?? ''} onChange=${(who) => setQuery({ who })} options=${[['', t('audit.anybody')], ...people.map((who) => [who, visible(who)])]} />
      <${Select} label=${t('audit.what')} value=${query.what ?? ''} onChange=${(what) => setQuery({ what })} options=${[['', t('audit.anything')], ...deeds.map((what) => [what, what])]} />
      <${Choice} label=${t('audit.result')} value=${query.refused ? '1' : ''} onChange=${(refused) => setQuery({ refused })} options=${[['', t('all')], ['1', t('audit.refused')]]} /></${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} name="audit" label=${t('nav.audit')} columns=${columns} rows=${rows} rowKey=${(e) => String(e.id)} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${live.loading} /></div>`;
}
