/* notifications.js - what people were told of, and what makes that so. */
import { html, useMemo, useState } from '../app/html.js';
import { t, clock, dateTime, age } from '../app/i18n.js';
import { post, tabique } from '../app/api.js';
import { useLive, refreshAll } from '../app/live.js';
import { link, setQuery } from '../app/router.js';
import { can } from '../app/session.js';
import { csv, fold, visible } from '../app/text.js';
import { kinds, sentence, ruleName } from '../app/notices.js';
import { useCommands } from '../app/keys.js';
import { Age, Choice, Filterbar, Head, Problem, Search, Select, Tabs, openView, saveAs } from '../components/bits.js';
import { Table } from '../components/table.js';
import { Menu, attempt } from '../components/overlay.js';
import { Icon } from '../components/icons.js';
import { Rules } from './notifications/rules.js';
import { Channels } from './notifications/channels.js';
import { Deliveries } from './notifications/deliveries.js';

export default function Notifications({ tab = '', query }) {
  const tabs = [['', t('notify.inbox')], ['rules', t('notify.rules')], ...(can('admin') ? [['channels', t('notify.channels')], ['deliveries', t('notify.deliveries')]] : [])];
  const known = tabs.some(([key]) => key === tab) ? tab : '';
  return html`<div class="view"><${Head} title=${t('nav.notifications')} /><${Tabs} tabs=${tabs} current=${known} base="/notifications" label=${t('nav.notifications')} />
    ${known === '' ? html`<${Inbox} query=${query} />` : known === 'rules' ? html`<${Rules} query=${query} />` : known === 'channels' ? html`<${Channels} />` : html`<${Deliveries} query=${query} />`}</div>`;
}

const acknowledge = (path) => attempt(() => post('/api/v1/notifications/' + path).then(() => refreshAll('')), t('notify.acknowledged'));

function Inbox({ query }) {
  const unacknowledged = query.show !== 'all' ? 1 : undefined;
  const live = useLive(['notifications', unacknowledged, query.kind ?? ''], () => tabique.notifications({ unacknowledged, kind: query.kind, limit: 1000 }), { interval: 3000 });
  const [active, setActive] = useState(/** @type {any} */ (null));
  const rows = useMemo(() => {
    const words = fold(query.q ?? '').split(/\s+/).filter(Boolean);
    return (live.data?.notifications ?? []).filter((n) => words.every((word) => fold(`${sentence(n)} ${n.ruleName} ${n.containerId}`).includes(word)));
  }, [live.data, query.q]);
  /* The moment a little before: what led to it is what one wants to see. */
  const look = (n) => n.containerId && openView('/compare/' + encodeURIComponent(n.container || n.containerId), { at: new Date(Date.parse(n.time) - 1000).toISOString() });
  useCommands(can('operate') ? [{ keys: 'a', label: t('notify.acknowledge'), run: () => { if (active && !active.acknowledgedAt) acknowledge(active.id + '/acknowledge'); } }] : []);
  const columns = [
    { key: 'time', label: t('time'), width: (w) => (w < 520 ? 92 : 176), render: (n) => html`<time datetime=${n.time} title=${dateTime(n.time)}><span class="narrow-only">${clock(n.time)}</span><span class="wide-only">${dateTime(n.time)}</span></time>` },
    { key: 'text', label: t('notify.what'), render: (n) => html`<span class=${'notice ' + (n.lasting && !n.endedAt ? 'open' : '')}><${Icon} name=${n.lasting && !n.endedAt ? 'warn' : 'notifications'} size=${13} /> ${sentence(n)}</span>`, title: sentence },
    { key: 'lasts', label: t('notify.lasts'), width: 128, min: 760, render: (n) => (!n.lasting ? '–' : n.endedAt ? t('notify.lasted', { time: age((Date.parse(n.endedAt) - Date.parse(n.time)) / 1000) }) : html`<span class="tag ended">${t('notify.open')} <${Age} since=${n.time} /></span>`) },
    { key: 'rule', label: t('notify.rule'), width: 190, min: 980, render: (n) => html`<span class="cut">${ruleName(n.kind, n.ruleName, n.firstRuleName)}</span>` },
    { key: 'ack', label: t('notify.seenBy'), width: 170, min: 620, render: (n) => (n.acknowledgedAt ? html`<span title=${dateTime(n.acknowledgedAt)}>${visible(n.acknowledgedBy || '–')}</span>` : html`<span class="tag born">${t('notify.new')}</span>`) },
    { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (n) => html`<${Menu} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${[
      can('operate') && !n.acknowledgedAt && { label: t('notify.acknowledge'), icon: 'check', hint: 'a', run: () => acknowledge(n.id + '/acknowledge') },
      n.containerId && { label: t('notify.look'), icon: 'compare', run: () => look(n) },
      n.container && { label: t('nav.container'), icon: 'containers', run: () => openView('/containers/' + encodeURIComponent(n.container)) },
      can('admin') && { label: t('notify.deliveries'), icon: 'out', run: () => openView('/notifications/deliveries', { notification: n.id }) }]} />` },
  ];
  return html`<${Filterbar}><${Search} value=${query.q ?? ''} label=${t('notify.search')} onChange=${(q) => setQuery({ q })} />
      <${Choice} label=${t('notify.show')} value=${query.show ?? ''} onChange=${(show) => setQuery({ show })} options=${[['', t('notify.news')], ['all', t('all')]]} />
      <${Select} label=${t('notify.kind')} value=${query.kind ?? ''} onChange=${(kind) => setQuery({ kind })} options=${[['', t('notify.anyKind')], ...kinds.map((kind) => [kind, t('noticeKind.' + kind)])]} />
      <span class="grow"></span>
      <button type="button" onClick=${() => saveAs('notifications.csv', 'text/csv', csv(['time', 'endedAt', 'kind', 'container', 'text', 'rule', 'acknowledgedBy', 'acknowledgedAt'], rows.map((n) => [n.time, n.endedAt, n.kind, n.container, sentence(n), n.ruleName, n.acknowledgedBy, n.acknowledgedAt])))}><${Icon} name="download" /> CSV</button>
      ${can('operate') && live.data?.unacknowledged > 0 && html`<button type="button" onClick=${() => acknowledge('acknowledge')}><${Icon} name="check" /> ${t('notify.acknowledgeAll')}</button>`}</${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} label=${t('nav.notifications')} columns=${columns} rows=${rows} rowKey=${(n) => String(n.id)} loading=${live.loading} onActive=${setActive} onOpen=${look}
      empty=${html`${unacknowledged ? t('notify.nothingNew') : t('notify.nothing')} <a href=${link('/notifications/rules')}>${t('notify.toRules')}</a>`} />`;
}
