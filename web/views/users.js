/* users.js - users, tokens and sessions; for others than admins their own. */
import { html, useState } from '../app/html.js';
import { t, dateTime, shortDate } from '../app/i18n.js';
import { get, post, put, del } from '../app/api.js';
import { useLive, refreshAll } from '../app/live.js';
import { link } from '../app/router.js';
import { can, session } from '../app/session.js';
import { visible } from '../app/text.js';
import { CopyButton, Head, Problem, Tabs, Select } from '../components/bits.js';
import { Table } from '../components/table.js';
import { Dialog, Menu, attempt, confirm } from '../components/overlay.js';
import { Icon } from '../components/icons.js';
import { PasswordForm } from './login.js';

export default function Users({ tab = '' }) {
  const admin = can('admin');
  const now = tab || (admin ? '' : 'me');
  const tabs = [...(admin ? [['', t('users.users')]] : []), ['me', t('users.me')], ['tokens', t('users.tokens')], ['sessions', t('users.sessions')]];
  return html`<div class="view"><${Head} title=${t('nav.users')} /><${Tabs} tabs=${tabs} current=${now} base="/users" label=${t('nav.users')} />
    ${now === '' ? html`<${Accounts} />` : now === 'me' ? html`<${Me} />` : now === 'tokens' ? html`<${Tokens} />` : html`<${Sessions} />`}</div>`;
}

function Me() {
  const { user, role, logs } = session.get();
  const [done, setDone] = useState(0);
  return html`<div class="scroll narrow stack"><section class="card"><h2>${visible(user)}</h2><p>${t('role.' + role)}. ${t('role.' + role + '.text')}${role === 'helpdesk' ? ' ' + t(logs ? 'role.logs' : 'role.nologs') : ''}</p></section>
    <section class="card"><h2>${t('password.change')}</h2>${done > 0 && html`<p role="status" class="good-text">${t('password.done')}</p>`}<${PasswordForm} key=${done} onDone=${() => setDone(done + 1)} /></section></div>`;
}

function Accounts() {
  const live = useLive('users', () => get('/api/v1/users'), { interval: 10000 });
  const [editing, setEditing] = useState(/** @type {any} */ (null));
  const remove = async (u) => {
    if (await confirm({ title: t('users.remove', { name: visible(u.name) }), text: t('users.remove.text'), action: t('action.remove'), danger: true })) attempt(() => del('/api/v1/users/' + encodeURIComponent(u.name)).then(() => refreshAll('users')), t('done.remove', { name: visible(u.name) }));
  };
  const columns = [
    { key: 'name', label: t('login.user'), render: (u) => html`<span class="strong">${visible(u.name)}</span>${u.name === session.get().user ? html` <span class="tag">${t('users.you')}</span>` : ''}` },
    { key: 'role', label: t('role'), width: 130, render: (u) => t('role.' + u.role) },
    { key: 'state', label: t('state'), width: 220, min: 560, render: (u) => [u.disabled && t('users.disabled'), u.mustChangePassword && t('users.mustChange'), u.role === 'helpdesk' && u.mayReadLogs && t('users.logs')].filter(Boolean).join(' · ') || '–' },
    { key: 'createdAt', label: t('created'), width: 180, min: 760, render: (u) => dateTime(u.createdAt) },
    { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (u) => html`<${Menu} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${[{ label: t('edit'), icon: 'settings', run: () => setEditing(u) }, u.name !== session.get().user && { label: t('action.remove'), icon: 'remove', danger: true, run: () => remove(u) }]} />` },
  ];
  return html`<div class="toolbar"><button type="button" class="primary" onClick=${() => setEditing({})}><${Icon} name="plus" /> ${t('users.create')}</button></div>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} label=${t('users.users')} columns=${columns} rows=${live.data ?? []} rowKey=${(u) => u.name} loading=${live.loading} onOpen=${setEditing} />
    ${editing && html`<${UserDialog} user=${editing} onClose=${() => setEditing(null)} />`}`;
}

function UserDialog({ user, onClose }) {
  const fresh = !user.name;
  const [form, setForm] = useState({ name: user.name ?? '', role: user.role ?? 'helpdesk', password: '', disabled: !!user.disabled, mayReadLogs: !!user.mayReadLogs });
  const [error, setError] = useState('');
  const change = (patch) => setForm({ ...form, ...patch });
  const submit = async (event) => {
    event.preventDefault();
    const body = { role: form.role, disabled: form.disabled, mayReadLogs: form.mayReadLogs, ...(form.password ? { password: form.password } : {}) };
    try {
      if (fresh) await post('/api/v1/users', { name: form.name, ...body }); else await put('/api/v1/users/' + encodeURIComponent(user.name), body);
      refreshAll('users');
      onClose();
    } catch (problem) { setError(problem.message); }
  };
  return html`<${Dialog} title=${fresh ? t('users.create') : visible(user.name)} onClose=${onClose}><form onSubmit=${submit} autocomplete="off">
    ${fresh && html`<label class="field"><span>${t('login.user')}</span><input required value=${form.name} onInput=${(e) => change({ name: e.target.value })} autocapitalize="none" spellcheck=${false} autocomplete="off" autofocus /></label>`}
    <div class="field"><span>${t('role')}</span><${Select} label=${t('role')} value=${form.role} onChange=${(role) => change({ role })} options=${['helpdesk', 'operator', 'admin'].map((r) => [r, t('role.' + r)])} /><small>${t('role.' + form.role + '.text')}</small></div>
    ${form.role === 'helpdesk' && html`<label class="check-line"><input type="checkbox" checked=${form.mayReadLogs} onChange=${(e) => change({ mayReadLogs: e.target.checked })} /> ${t('users.logs')}</label>`}
    <label class="field"><span>${fresh ? t('users.firstPassword') : t('users.newPassword')}</span><input type="password" autocomplete="new-password" minlength="10" required=${fresh} value=${form.password} onInput=${(e) => change({ password: e.target.value })} /><small>${t('users.passwordHint')}</small></label>
    ${!fresh && html`<label class="check-line"><input type="checkbox" checked=${form.disabled} onChange=${(e) => change({ disabled: e.target.checked })} /> ${t('users.disable')}</label>`}
    <p class="form-error" role="alert">${error}</p>
    <div class="buttons end"><button type="button" onClick=${onClose}>${t('cancel')}</button><button type="submit" class="primary">${fresh ? t('users.create') : t('save')}</button></div></form></${Dialog}>`;
}

function Tokens() {
  const live = useLive('tokens', () => get('/api/v1/tokens', { all: can('admin') }), { interval: 10000 });
  const [making, setMaking] = useState(false);
  const columns = [
    { key: 'label', label: t('tokens.label'), render: (k) => html`<span class="strong">${visible(k.label)}</span>` },
    { key: 'user', label: t('login.user'), width: 140, min: 520, render: (k) => visible(k.user) },
    { key: 'createdAt', label: t('created'), width: 150, min: 700, render: (k) => shortDate(k.createdAt) },
    { key: 'usedAt', label: t('tokens.used'), width: 150, min: 860, render: (k) => shortDate(k.usedAt) },
    { key: 'expiresAt', label: t('tokens.expires'), width: 150, render: (k) => (k.expiresAt ? shortDate(k.expiresAt) : t('tokens.never')) },
    { key: 'a', label: t('table.actions'), quiet: true, width: 110, align: /** @type {'end'} */ ('end'), render: (k) => html`<button type="button" class="danger-text quiet" onClick=${() => attempt(() => del('/api/v1/tokens/' + encodeURIComponent(k.id)).then(() => refreshAll('tokens')), t('tokens.revoked'))}>${t('tokens.revoke')}</button>` },
  ];
  return html`<div class="toolbar"><button type="button" class="primary" onClick=${() => setMaking(true)}><${Icon} name="plus" /> ${t('tokens.create')}</button><span class="quiet-text">${t('tokens.text')}</span></div>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} label=${t('users.tokens')} columns=${columns} rows=${live.data ?? []} rowKey=${(k) => k.id} loading=${live.loading} empty=${t('tokens.none')} />
    ${making && html`<${TokenDialog} onClose=${() => { setMaking(false); refreshAll('tokens'); }} />`}`;
}

function TokenDialog({ onClose }) {
  const [label, setLabel] = useState('');
  const [life, setLife] = useState('2160h');
  const [made, setMade] = useState(/** @type {any} */ (null));
  const [error, setError] = useState('');
  const submit = async (event) => {
    event.preventDefault();
    try { setMade(await post('/api/v1/tokens', { label, ...(life ? { expiresIn: life } : {}) })); } catch (problem) { setError(problem.message); }
  };
  return html`<${Dialog} title=${t('tokens.create')} onClose=${onClose}>${made
    ? html`<p>${t('tokens.once')}</p><p class="secret"><code>${made.token}</code><${CopyButton} text=${made.token} /></p><div class="buttons end"><button type="button" class="primary" onClick=${onClose}>${t('close')}</button></div>`
    : html`<form onSubmit=${submit}><label class="field"><span>${t('tokens.label')}</span><input required maxlength="64" value=${label} onInput=${(e) => setLabel(e.target.value)} autofocus /></label>
      <div class="field"><span>${t('tokens.expires')}</span><${Select} label=${t('tokens.expires')} value=${life} onChange=${setLife} options=${[['168h', t('tokens.week')], ['720h', t('tokens.month')], ['2160h', t('tokens.quarter')], ['8760h', t('tokens.year')], ['', t('tokens.never')]]} /></div>
      <p class="form-error" role="alert">${error}</p><div class="buttons end"><button type="button" onClick=${onClose}>${t('cancel')}</button><button type="submit" class="primary">${t('tokens.create')}</button></div></form>`}</${Dialog}>`;
}

function Sessions() {
  const live = useLive('sessions', () => get('/api/v1/sessions', { all: can('admin') }), { interval: 10000 });
  const columns = [
    { key: 'user', label: t('login.user'), render: (s) => html`<span class="strong">${visible(s.user)}</span>${s.current ? html` <span class="tag">${t('sessions.this')}</span>` : ''}` },
    { key: 'from', label: t('audit.from'), width: (w) => (w < 520 ? 112 : 150), render: (s) => html`<span class="mono">${visible(s.from)}</span>` },
    { key: 'agent', label: t('sessions.agent'), width: 260, min: 860, render: (s) => html`<span class="cut quiet-text">${visible(s.agent)}</span>`, title: (s) => visible(s.agent) },
    { key: 'createdAt', label: t('sessions.since'), width: 150, min: 640, render: (s) => shortDate(s.createdAt) },
    { key: 'usedAt', label: t('tokens.used'), width: 150, min: 760, render: (s) => shortDate(s.usedAt) },
    { key: 'a', label: t('table.actions'), quiet: true, width: (w) => (w < 520 ? 100 : 110), align: /** @type {'end'} */ ('end'), render: (s) => !s.current && html`<button type="button" class="danger-text quiet" onClick=${() => attempt(() => del('/api/v1/sessions/' + encodeURIComponent(s.id)).then(() => refreshAll('sessions')), t('sessions.ended'))}>${t('sessions.end')}</button>` },
  ];
  return html`<${Problem} error=${live.error} stale=${live.stale} /><${Table} label=${t('users.sessions')} columns=${columns} rows=${live.data ?? []} rowKey=${(s) => s.id} loading=${live.loading} />`;
}
export { link };
