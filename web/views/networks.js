/* networks.js - networks, and the map of who is on which: a line for each network,
 * a row for each container, a dot where they meet. */
import { html, useMemo, useState } from '../app/html.js';
import { t } from '../app/i18n.js';
import { docker } from '../app/api.js';
import { useLive, refreshAll } from '../app/live.js';
import { useContainers } from '../app/sources.js';
import { go, link, setQuery } from '../app/router.js';
import { can } from '../app/session.js';
import { fold, imageName, visible } from '../app/text.js';
import { by } from '../app/processes.js';
import { CopyButton, Fact, Filterbar, Head, Problem, Search, Toggle, openView } from '../components/bits.js';
import { Columns, Table } from '../components/table.js';
import { Dialog, Menu, attempt, confirm, toast } from '../components/overlay.js';
import { StateBadge, WallBadge } from '../components/wall.js';
import { Icon } from '../components/icons.js';
import { portsText } from './containers.js';

const builtIn = (network) => ['bridge', 'host', 'none'].includes(network.Name);
const subnetOf = (network) => (network.IPAM?.Config ?? []).map((c) => c.Subnet).filter(Boolean).join(', ');

export default function Networks({ id = '', query }) {
  const live = useLive('networks', docker.networks, { interval: 5000 });
  const containers = useContainers();
  const [making, setMaking] = useState(false);
  const networks = useMemo(() => [...(live.data ?? [])].sort((a, b) => Number(!builtIn(a)) - Number(!builtIn(b)) || a.Name.localeCompare(b.Name)), [live.data]);
  const all = containers.data?.containers ?? [];
  const on = (network) => all.filter((c) => c.networks.some((n) => n.name === network.Name));
  const chosen = networks.find((n) => n.Name === id || n.Id === id);
  const sort = query.sort ?? 'name';
  const rows = useMemo(() => {
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    const text = fold(query.q ?? '');
    return all.filter((c) => c.networks.length && (!chosen || c.networks.some((n) => n.name === chosen.Name)) && fold(c.name + ' ' + c.networks.map((n) => n.name + ' ' + n.ip).join(' ')).includes(text)).sort(by(key, descending));
  }, [containers.data, query.q, sort, chosen?.Name]);
  const choose = (network) => go(link(network && network !== chosen ? '/networks/' + encodeURIComponent(network.Name) : '/networks', query), { replace: true });
  const prune = async () => {
    if (await confirm({ title: t('networks.prune'), text: t('networks.prune.text'), action: t('prune'), danger: true }))
      attempt(() => docker.networksPrune().then((r) => { refreshAll('networks'); toast(t('networks.pruned', { n: r?.NetworksDeleted?.length ?? 0 })); }));
  };
  const lines = networks.filter((n) => n === chosen || rows.some((c) => c.networks.some((one) => one.name === n.Name)));
  /* Where there is little room the dots stand closer, on a phone without their addresses: those are told below, of the network that is chosen. */
  const nameWidth = (w) => (w < 520 ? 128 : Math.max(150, Math.min(320, w * 0.3)));
  const lineWidth = (w) => Math.max(w < 520 ? 60 : 130, Math.min(170, Math.floor((w - nameWidth(w) - (w < 700 ? 0 : 150)) / Math.max(1, lines.length))));
  const endOf = (c, network) => c.networks.find((n) => n.name === network.Name);
  const columns = [
    { key: 'name', label: t('container'), sort: true, width: nameWidth, render: (c) => html`<span class="owner"><${WallBadge} isolation=${c.isolation} word=${false} /><a class="strong cut" href=${link('/containers/' + encodeURIComponent(c.name))}>${visible(c.name)}</a></span>` },
    ...lines.map((network) => ({ key: 'n' + network.Name, label: visible(network.Name), width: lineWidth, title: (c) => endOf(c, network)?.ip, render: (c) => {
      const end = endOf(c, network);
      return html`<span class=${'meet' + (end ? ' on' : '')}><span class="dot" aria-hidden="true"></span>${end && html`<span class="mono">${end.ip || t('networks.joined')}</span>`}</span>`;
    } })),
    { key: 'state', label: t('state'), width: 132, off: true, sort: true, render: (c) => html`<${StateBadge} state=${c.state} health=${c.health} exitCode=${c.exitCode} />` },
    { key: 'image', label: t('image'), width: 160, off: true, sort: true, render: (c) => html`<span class="cut">${imageName(c.image)}</span>`, title: (c) => c.image },
    { key: 'ports', label: t('ports'), min: 700, render: (c) => html`<span class="mono cut">${portsText(c.ports)}</span>` },
  ];
  return html`<div class="view networks-view"><${Head} title=${t('nav.networks')} sub=${live.data ? t('networks.count', { n: networks.length }) : ''}>
      <${Columns} name="networks" columns=${columns} />
      ${can('operate') && html`<${Menu} quiet=${false} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${[{ label: t('prune'), icon: 'remove', danger: true, run: prune }]} /><button type="button" class="primary" onClick=${() => setMaking(true)}><${Icon} name="plus" /><span class="words">${t('networks.create')}</span></button>`}</${Head}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <div class="network-cards" role="group" aria-label=${t('nav.networks')}>${networks.map((network) => html`<button type="button" key=${network.Id} class="network-card" aria-pressed=${network === chosen ? 'true' : 'false'} onClick=${() => choose(network)}>
      <strong class="cut">${visible(network.Name)}</strong><span class="count">${on(network).length}</span><span class="quiet-text cut">${subnetOf(network) ? html`<span class="mono">${subnetOf(network)}</span>` : t('networks.kind.' + (network.Driver === 'host' || network.Driver === 'null' ? network.Driver : 'other'), { driver: visible(network.Driver) })}</span>${network.Internal && html`<span class="tag">${t('networks.internal')}</span>`}</button>`)}</div>
    <${Filterbar}><${Search} value=${query.q ?? ''} label=${t('networks.search')} onChange=${(q) => setQuery({ q })} /><span class="quiet-text">${chosen ? t('networks.onlyOf', { name: visible(chosen.Name) }) : t('networks.map')}</span></${Filterbar}>
    <${Table} name="networks" label=${t('networks.map')} columns=${columns} rows=${rows} rowKey=${(c) => c.id} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${containers.loading} scroll=${true} rowClass=${(c) => (c.state === 'running' ? '' : 'dim')}
      onOpen=${(c) => openView('/containers/' + encodeURIComponent(c.name))} empty=${query.q ? t('containers.nomatch') : t('networks.nobody')} />
    ${chosen && html`<${Detail} key=${chosen.Id} network=${chosen} members=${on(chosen)} all=${all} onClose=${() => choose(null)} />`}
    ${making && html`<${Create} onClose=${() => setMaking(false)} />`}</div>`;
}

function Detail({ network, members, all, onClose }) {
  const config = network.IPAM?.Config ?? [];
  const others = all.filter((c) => !members.includes(c) && !c.networks.some((n) => n.name === 'host' || n.name === 'none'));
  const done = (work, text) => attempt(() => work.then(() => { refreshAll('networks'); refreshAll('containers'); }), text);
  const connect = async () => {
    const answer = await confirm({ title: t('networks.connect.title', { name: visible(network.Name) }), action: t('networks.connect'), pick: { label: t('container'), options: others.map((c) => [c.name, visible(c.name)]) } });
    if (answer && answer.picked) done(docker.connect(network.Id, answer.picked), t('networks.connected', { name: visible(answer.picked) }));
  };
  const disconnect = async (c) => {
    if (await confirm({ title: t('networks.disconnect.title', { name: visible(c.name), network: visible(network.Name) }), text: t('networks.disconnect.text'), action: t('networks.disconnect'), danger: true })) done(docker.disconnect(network.Id, c.id), t('networks.disconnected', { name: visible(c.name) }));
  };
  const remove = async () => {
    if (await confirm({ title: t('networks.remove', { name: visible(network.Name) }), text: members.length ? t('networks.inUse', { n: members.length }) : t('networks.remove.text'), action: t('action.remove'), danger: true })) { done(docker.networkRemove(network.Id), t('done.remove', { name: visible(network.Name) })); onClose(); }
  };
  return html`<section class="drawer" aria-label=${t('network')}><header class="view-head"><h2>${visible(network.Name)}</h2><span class="grow"></span><div class="view-actions">
      ${can('operate') && !['host', 'none'].includes(network.Name) && html`<button type="button" disabled=${!others.length} onClick=${connect}><${Icon} name="plus" /><span class="words">${t('networks.connect')}</span></button>`}
      ${can('operate') && !builtIn(network) && html`<button type="button" class="danger-text" onClick=${remove}><${Icon} name="remove" /><span class="words">${t('action.remove')}</span></button>`}
      <button type="button" class="quiet icon-only" aria-label=${t('close')} onClick=${onClose}><${Icon} name="close" /></button></div></header>
    <div class="drawer-columns"><dl class="facts"><${Fact} label=${t('images.id')}><code>${network.Id.slice(0, 12)}</code><${CopyButton} text=${network.Id} /></${Fact}><${Fact} label=${t('networks.driver')}>${visible(network.Driver)}</${Fact}>
      ${config.map((c, i) => html`<${Fact} key=${'s' + i} label=${t('networks.subnet')}><span class="mono">${c.Subnet ?? '–'}</span></${Fact}><${Fact} key=${'g' + i} label=${t('networks.gateway')}><span class="mono">${c.Gateway ?? '–'}</span></${Fact}>`)}
      <${Fact} label=${t('networks.reach')}>${network.Internal ? t('networks.internal.text') : t('networks.external.text')}</${Fact}></dl>
    <div><h3>${t('networks.members')}</h3>${members.length ? html`<ul class="members">${members.map((c) => html`<li key=${c.id} class=${c.state === 'running' ? '' : 'dim'}><a href=${link('/containers/' + encodeURIComponent(c.name))}>${visible(c.name)}</a><${WallBadge} isolation=${c.isolation} word=${false} /><span class="mono address">${c.networks.find((n) => n.name === network.Name)?.ip || '–'}</span>
      ${can('operate') && !['host', 'none'].includes(network.Name) && html`<button type="button" class="quiet icon-only" title=${t('networks.disconnect')} aria-label=${t('networks.disconnect') + ' ' + visible(c.name)} onClick=${() => disconnect(c)}><${Icon} name="close" size=${12} /></button>`}</li>`)}</ul>` : html`<p class="quiet-text">${t('networks.nobody')}</p>`}</div>
    <div><h3>${t('create.labels')}</h3>${Object.keys(network.Labels ?? {}).length ? html`<ul class="values">${Object.entries(network.Labels).map(([key, value]) => html`<li key=${key}><code>${visible(key)}=${visible(value)}</code></li>`)}</ul>` : html`<p class="quiet-text">${t('none')}</p>`}</div></div></section>`;
}

function Create({ onClose }) {
  const [form, setForm] = useState({ name: '', subnet: '', gateway: '', internal: false });
  const change = (patch) => setForm({ ...form, ...patch });
  const submit = (event) => {
    event.preventDefault();
    const config = form.subnet || form.gateway ? [{ Subnet: form.subnet || undefined, Gateway: form.gateway || undefined }] : undefined;
    attempt(() => docker.networkCreate({ Name: form.name, Driver: 'bridge', Internal: form.internal, IPAM: config && { Config: config } }).then(() => { refreshAll('networks'); onClose(); }), t('done.create', { name: form.name }));
  };
  return html`<${Dialog} title=${t('networks.create')} onClose=${onClose}><form onSubmit=${submit}>
    <label class="field"><span>${t('name')}</span><input value=${form.name} required pattern="[a-zA-Z0-9][a-zA-Z0-9_.\\-]*" onInput=${(e) => change({ name: e.target.value })} autofocus spellcheck=${false} autocapitalize="none" /></label>
    <div class="two"><label class="field"><span>${t('networks.subnet')}</span><input value=${form.subnet} placeholder="10.20.0.0/24" onInput=${(e) => change({ subnet: e.target.value })} spellcheck=${false} /></label>
      <label class="field"><span>${t('networks.gateway')}</span><input value=${form.gateway} placeholder="10.20.0.1" onInput=${(e) => change({ gateway: e.target.value })} spellcheck=${false} /></label></div><small>${t('networks.subnet.hint')}</small>
    <${Toggle} checked=${form.internal} onChange=${(internal) => change({ internal })}>${t('networks.internal.text')}</${Toggle}>
    <div class="buttons end"><button type="button" onClick=${onClose}>${t('cancel')}</button><button type="submit" class="primary">${t('networks.create')}</button></div></form></${Dialog}>`;
}
