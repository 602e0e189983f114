/* rules.js - what somebody wants to be told of. */
import { html, useState } from '../../app/html.js';
import { t, number, age } from '../../app/i18n.js';
import { del, post, put, tabique } from '../../app/api.js';
import { useLive, refreshAll } from '../../app/live.js';
import { can } from '../../app/session.js';
import { visible } from '../../app/text.js';
import { kinds, takes, ruleName } from '../../app/notices.js';
import { Problem, Select, Toggle } from '../../components/bits.js';
import { Table } from '../../components/table.js';
import { Dialog, Menu, attempt, confirm } from '../../components/overlay.js';
import { Icon } from '../../components/icons.js';

const path = (id) => '/api/v1/notification-rules' + (id ? '/' + encodeURIComponent(id) : '');
const changed = () => refreshAll('notify-');

/** "over 90 %, for 5 min" @param {any} rule */
const condition = (rule) => [
  takes.count(rule.kind) && t('rule.times', { n: rule.count }),
  takes.above(rule.kind) && t('rule.over', { percent: number(rule.above, Number.isInteger(rule.above) ? 0 : 1) }),
  takes.seconds(rule.kind) && t(takes.count(rule.kind) ? 'rule.within' : 'rule.for', { time: age(rule.seconds) }),
].filter(Boolean).join(' ') || '–';

export function Rules() {
  const admin = can('admin');
  const live = useLive('notify-rules', tabique.rules, { interval: 10000 });
  const channels = useLive(admin ? 'notify-channels' : null, tabique.channels, { interval: 10000 });
  const names = new Map((channels.data?.channels ?? []).map((channel) => [channel.id, channel.name]));
  const [editing, setEditing] = useState(/** @type {any} */ (null));
  const toggle = (rule, enabled) => attempt(() => put(path(rule.id), { enabled }).then(changed));
  const remove = async (rule) => {
    if (await confirm({ title: t('rule.remove', { name: ruleName(rule.kind, rule.name, rule.firstName) }), action: t('action.remove'), danger: true })) attempt(() => del(path(rule.id)).then(changed), t('done.remove', { name: ruleName(rule.kind, rule.name, rule.firstName) }));
  };
  const columns = [
    { key: 'name', label: t('name'), render: (rule) => html`<span class="strong cut">${ruleName(rule.kind, rule.name, rule.firstName)}</span>` },
    { key: 'kind', label: t('notify.kind'), width: 190, min: 640, render: (rule) => t('noticeKind.' + rule.kind) },
    { key: 'condition', label: t('rule.condition'), width: 210, min: 760, render: condition },
    { key: 'container', label: t('container'), width: 150, min: 900, render: (rule) => (rule.container ? html`<code>${visible(rule.container)}</code>` : t('all')) },
    { key: 'channels', label: t('notify.channels'), width: 200, min: 1040, render: (rule) => html`<span class="cut">${[t('notify.console'), ...rule.channels.map((id) => visible(names.get(id) ?? id))].join(', ')}</span>` },
    { key: 'enabled', label: t('notify.on'), width: 70, render: (rule) => (admin ? html`<${Toggle} checked=${rule.enabled} onChange=${(on) => toggle(rule, on)}><span class="hidden">${t('notify.on')} ${ruleName(rule.kind, rule.name, rule.firstName)}</span></${Toggle}>` : t(rule.enabled ? 'yes' : 'no')) },
    ...(admin ? [{ key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (rule) => html`<${Menu} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${[{ label: t('edit'), icon: 'settings', run: () => setEditing(rule) }, { label: t('action.remove'), icon: 'remove', danger: true, run: () => remove(rule) }]} />` }] : []),
  ];
  return html`<div class="toolbar">${admin && html`<button type="button" class="primary" onClick=${() => setEditing({})}><${Icon} name="plus" /> ${t('rule.create')}</button>`}<span class="quiet-text">${t('rule.hint')}</span></div>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} label=${t('notify.rules')} columns=${columns} rows=${live.data?.rules ?? []} rowKey=${(rule) => rule.id} loading=${live.loading} onOpen=${admin ? setEditing : undefined} rowClass=${(rule) => (rule.enabled ? '' : 'dim')} />
    ${editing && html`<${RuleDialog} rule=${editing} channels=${channels.data?.channels ?? []} onClose=${() => setEditing(null)} />`}`;
}

function RuleDialog({ rule, channels, onClose }) {
  const [form, setForm] = useState({ name: '', kind: 'exit', container: '', above: 90, seconds: 300, count: 5, pause: 900, enabled: true, channels: [], ...rule });
  const [error, setError] = useState('');
  const change = (patch) => setForm({ ...form, ...patch });
  const submit = async (event) => {
    event.preventDefault();
    const { name, kind, container, enabled, pause } = form;
    const body = { name, kind, container, enabled, pause, channels: form.channels.filter((id) => channels.some((channel) => channel.id === id)) };
    for (const field of ['above', 'seconds', 'count']) if (takes[field](kind)) body[field] = form[field];
    try {
      if (rule.id) await put(path(rule.id), body); else await post(path(''), body);
      changed();
      onClose();
    } catch (problem) { setError(problem.message); }
  };
  const field = (key, label, attributes) => html`<label class="field"><span>${label}</span><input type="number" required value=${form[key]} onInput=${(e) => change({ [key]: e.target.valueAsNumber })} ...${attributes} /></label>`;
  return html`<${Dialog} title=${rule.id ? ruleName(rule.kind, rule.name, rule.firstName) : t('rule.create')} onClose=${onClose}><form onSubmit=${submit} autocomplete="off">
    <label class="field"><span>${t('name')}</span><input required maxlength="100" value=${form.name} onInput=${(e) => change({ name: e.target.value })} autofocus /></label>
    <div class="field"><span>${t('notify.kind')}</span><${Select} label=${t('notify.kind')} value=${form.kind} onChange=${(kind) => change({ kind })} options=${kinds.map((kind) => [kind, t('noticeKind.' + kind)])} /><small>${t('noticeKind.' + form.kind + '.text')}</small></div>
    ${takes.above(form.kind) && field('above', t('rule.above'), { min: 0.1, step: 'any' })}
    ${takes.count(form.kind) && field('count', t('rule.count'), { min: 2, max: 1000 })}
    ${takes.seconds(form.kind) && field('seconds', t('rule.seconds'), { min: 10, max: 86400 })}
    <label class="field"><span>${t('rule.container')}</span><input value=${form.container} onInput=${(e) => change({ container: e.target.value })} spellcheck=${false} autocapitalize="none" /><small>${t('rule.container.text')}</small></label>
    ${field('pause', t('rule.pause'), { min: 0, max: 2592000 })}
    <fieldset><legend>${t('notify.channels')}</legend><p class="quiet-text">${t('rule.channels.text')}</p>
      ${channels.map((channel) => html`<label class="check-line" key=${channel.id}><input type="checkbox" checked=${form.channels.includes(channel.id)} onChange=${(e) => change({ channels: e.target.checked ? [...form.channels, channel.id] : form.channels.filter((id) => id !== channel.id) })} /> ${visible(channel.name)} <span class="tag">${t('channel.' + channel.kind)}</span></label>`)}</fieldset>
    <p class="form-error" role="alert">${error}</p>
    <div class="buttons end"><button type="button" onClick=${onClose}>${t('cancel')}</button><button type="submit" class="primary">${t(rule.id ? 'save' : 'create.short')}</button></div></form></${Dialog}>`;
}
