/* channels.js - where notifications go besides the console. */
import { html, useState } from '../../app/html.js';
import { t } from '../../app/i18n.js';
import { del, post, put, tabique } from '../../app/api.js';
import { languages } from '../../app/i18n.js';
import { useLive, refreshAll } from '../../app/live.js';
import { visible } from '../../app/text.js';
import { Choice, CopyButton, Problem, Select, openView } from '../../components/bits.js';
import { Table } from '../../components/table.js';
import { Dialog, Menu, attempt, confirm, toast } from '../../components/overlay.js';
import { Icon } from '../../components/icons.js';

const path = (id) => '/api/v1/notification-channels' + (id ? '/' + encodeURIComponent(id) : '');
const changed = () => refreshAll('notify-');
const target = (channel) => visible(channel.kind === 'mail' ? channel.to.join(', ') : channel.url);

async function test(channel) {
  const answer = await attempt(() => post(path(channel.id) + '/test'));
  if (answer) toast(t('channel.tested', { name: visible(channel.name) }), { action: { label: t('channel.see'), run: () => openView('/notifications/deliveries', { channel: channel.id }) } });
}

export function Channels() {
  const live = useLive('notify-channels', tabique.channels, { interval: 10000 });
  const [editing, setEditing] = useState(/** @type {any} */ (null));
  const [secret, setSecret] = useState('');
  const remove = async (channel) => {
    if (await confirm({ title: t('channel.remove', { name: visible(channel.name) }), action: t('action.remove'), danger: true })) attempt(() => del(path(channel.id)).then(changed), t('done.remove', { name: visible(channel.name) }));
  };
  const columns = [
    { key: 'name', label: t('name'), width: (w) => (w < 560 ? 116 : 200), render: (channel) => html`<span class="strong cut">${visible(channel.name)}</span>` },
    { key: 'kind', label: t('channel.kind'), width: 110, min: 560, render: (channel) => t('channel.' + channel.kind) },
    { key: 'target', label: t('channel.target'), render: (channel) => html`<span class="cut mono">${target(channel)}</span>`, title: target },
    { key: 'language', label: t('language'), width: 110, min: 900, render: (channel) => languages[channel.language] },
    { key: 'state', label: t('notify.on'), width: (w) => (w < 560 ? 64 : 70), render: (channel) => t(channel.enabled ? 'yes' : 'no') },
    { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (channel) => html`<${Menu} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${[
      { label: t('channel.test'), icon: 'out', run: () => test(channel) }, { label: t('edit'), icon: 'settings', run: () => setEditing(channel) },
      { label: t('notify.deliveries'), icon: 'list', run: () => openView('/notifications/deliveries', { channel: channel.id }) }, { label: t('action.remove'), icon: 'remove', danger: true, run: () => remove(channel) }]} />` },
  ];
  return html`<div class="toolbar"><button type="button" class="primary" onClick=${() => setEditing({})}><${Icon} name="plus" /> ${t('channel.create')}</button></div>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} label=${t('notify.channels')} columns=${columns} rows=${live.data?.channels ?? []} rowKey=${(channel) => channel.id} loading=${live.loading} onOpen=${setEditing} rowClass=${(channel) => (channel.enabled ? '' : 'dim')} empty=${t('channel.none')} />
    ${editing && html`<${ChannelDialog} channel=${editing} onClose=${(made) => { setEditing(null); setSecret(made?.secret ?? ''); }} />`}
    ${secret && html`<${Dialog} title=${t('channel.secret')} onClose=${() => setSecret('')}><p>${t('channel.secret.text')}</p><p class="secret"><code>${secret}</code> <${CopyButton} text=${secret} /></p>
      <div class="buttons end"><button type="button" class="primary" onClick=${() => setSecret('')}>${t('close')}</button></div></${Dialog}>`}`;
}

const emptyChannel = { name: '', kind: 'webhook', enabled: true, language: 'en', consoleUrl: '', url: '', server: '', tls: 'required', username: '', password: '', from: '' };

function ChannelDialog({ channel, onClose }) {
  const fresh = !channel.id;
  const [form, setForm] = useState({ ...emptyChannel, consoleUrl: location.origin, ...channel, to: (channel.to ?? []).join(', ') });
  const [error, setError] = useState('');
  const change = (patch) => setForm({ ...form, ...patch });
  const submit = async (event) => {
    event.preventDefault();
    const { name, enabled, language, consoleUrl } = form;
    const body = { name, enabled, language, consoleUrl, ...(fresh ? { kind: form.kind } : {}), ...(form.kind === 'webhook' ? { url: form.url }
      : { server: form.server, tls: form.tls, username: form.username ?? '', from: form.from, to: form.to.split(/[\s,;]+/).filter(Boolean), ...(form.password ? { password: form.password } : {}) }) };
    try {
      const made = fresh ? await post(path(''), body) : await put(path(channel.id), body);
      changed();
      onClose(made);
    } catch (problem) { setError(problem.message); }
  };
  const field = (key, label, attributes = {}, hint = '') => html`<label class="field"><span>${label}</span><input value=${form[key] ?? ''} onInput=${(e) => change({ [key]: e.target.value })} spellcheck=${false} autocapitalize="none" ...${attributes} />${hint && html`<small>${hint}</small>`}</label>`;
  return html`<${Dialog} title=${fresh ? t('channel.create') : visible(channel.name)} onClose=${() => onClose()}><form onSubmit=${submit} autocomplete="off">
    ${fresh && html`<div class="field"><span>${t('channel.kind')}</span><${Choice} label=${t('channel.kind')} value=${form.kind} onChange=${(kind) => change({ kind })} options=${[['webhook', t('channel.webhook')], ['mail', t('channel.mail')]]} /></div>`}
    ${field('name', t('name'), { required: true, maxlength: 100, autofocus: true })}
    ${form.kind === 'webhook' ? field('url', t('channel.url'), { required: true, type: 'url', placeholder: 'https://' }, t('channel.url.text')) : html`
      ${field('server', t('channel.server'), { required: true, placeholder: 'smtp://mail.example.org:587' })}
      <label class="check-line"><input type="checkbox" checked=${form.tls === 'required'} onChange=${(e) => change({ tls: e.target.checked ? 'required' : 'never' })} /> ${t('channel.tls')}</label>
      ${field('username', t('channel.username'), { autocomplete: 'off' })}
      ${field('password', t('channel.password'), { type: 'password', autocomplete: 'new-password' }, channel.passwordSet ? t('channel.password.text') : '')}
      ${field('from', t('channel.from'), { required: true, type: 'email' })}
      ${field('to', t('channel.to'), { required: true }, t('channel.to.text'))}`}
    <div class="field"><span>${t('language')}</span><${Choice} label=${t('language')} value=${form.language} onChange=${(language) => change({ language })} options=${Object.entries(languages)} /></div>
    ${field('consoleUrl', t('channel.console'), { type: 'url' }, t('channel.console.text'))}
    <label class="check-line"><input type="checkbox" checked=${form.enabled} onChange=${(e) => change({ enabled: e.target.checked })} /> ${t('notify.on')}</label>
    <p class="form-error" role="alert">${error}</p>
    <div class="buttons end"><button type="button" onClick=${() => onClose()}>${t('cancel')}</button><button type="submit" class="primary">${t(fresh ? 'create.short' : 'save')}</button></div></form></${Dialog}>`;
}
