/* deliveries.js - what was sent, what waits, what failed and why. */
import { html } from '../../app/html.js';
import { t, dateTime, shortDate } from '../../app/i18n.js';
import { post, tabique } from '../../app/api.js';
import { useLive, refreshAll } from '../../app/live.js';
import { setQuery } from '../../app/router.js';
import { visible } from '../../app/text.js';
import { Filterbar, Problem, Select } from '../../components/bits.js';
import { Table } from '../../components/table.js';
import { attempt } from '../../components/overlay.js';
import { Icon } from '../../components/icons.js';

const tags = { pending: 'tag', delivered: 'tag born', failed: 'tag ended' };

export function Deliveries({ query }) {
  const live = useLive(['deliveries', query.channel ?? '', query.state ?? '', query.notification ?? ''],
    () => tabique.deliveries({ channel: query.channel, state: query.state, notification: query.notification, limit: 1000 }), { interval: 2000 });
  const channels = useLive('notify-channels', tabique.channels, { interval: 10000 });
  const list = channels.data?.channels ?? [];
  const names = new Map(list.map((channel) => [channel.id, channel.name]));
  const again = (d) => attempt(() => post(`/api/v1/notification-deliveries/${d.id}/retry`).then(() => refreshAll('deliveries')), t('delivery.again.done'));
  const columns = [
    { key: 'created', label: t('time'), width: (w) => (w < 560 ? 130 : 176), render: (d) => html`<span class="wide-only">${dateTime(d.createdAt)}</span><span class="narrow-only">${shortDate(d.createdAt)}</span>` },
    { key: 'channel', label: t('delivery.channel'), width: (w) => (w < 560 ? undefined : 180), render: (d) => html`<span class="cut">${visible(names.get(d.channel) ?? d.channel)}</span>` },
    { key: 'what', label: t('delivery.what'), width: 110, min: 760, render: (d) => t('delivery.' + d.what) },
    { key: 'state', label: t('state'), width: (w) => (w < 560 ? 92 : 120), render: (d) => html`<span class=${tags[d.state]}>${t('delivery.' + d.state)}</span>` },
    { key: 'attempts', label: t('delivery.attempts'), width: 90, align: /** @type {'end'} */ ('end'), min: 640, render: (d) => d.attempts },
    { key: 'next', label: t('delivery.next'), width: 176, min: 980, render: (d) => dateTime(d.nextAt) },
    { key: 'error', label: t('delivery.error'), min: 560, render: (d) => html`<span class="cut quiet-text">${visible(d.error) || '–'}</span>`, title: (d) => visible(d.error) },
    { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (d) => d.state !== 'delivered' && html`<button type="button" class="quiet icon-only" title=${t('delivery.again')} aria-label=${t('delivery.again')} onClick=${() => again(d)}><${Icon} name="restart" /></button>` },
  ];
  return html`<${Filterbar}>
      <${Select} label=${t('delivery.channel')} value=${query.channel ?? ''} onChange=${(channel) => setQuery({ channel })} options=${[['', t('delivery.anyChannel')], ...list.map((channel) => [channel.id, visible(channel.name)])]} />
      <${Select} label=${t('state')} value=${query.state ?? ''} onChange=${(state) => setQuery({ state })} options=${[['', t('state.any')], ...Object.keys(tags).map((state) => [state, t('delivery.' + state)])]} />
      ${query.notification && html`<button type="button" onClick=${() => setQuery({ notification: '' })}>${t('delivery.ofOne')} <${Icon} name="close" size=${12} /></button>`}</${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} label=${t('notify.deliveries')} columns=${columns} rows=${live.data?.deliveries ?? []} rowKey=${(d) => String(d.id)} loading=${live.loading} empty=${t('delivery.none')} />`;
}
