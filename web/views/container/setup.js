/* setup.js - how a container was made: environment, mounts, networks, limits, what
 * it may do; and what of it can be changed while it lives. */
import { html, useState } from '../../app/html.js';
import { t, bytes, number, dateTime } from '../../app/i18n.js';
import { docker } from '../../app/api.js';
import { useLive, refreshAll } from '../../app/live.js';
import { link } from '../../app/router.js';
import { can } from '../../app/session.js';
import { fold, visible } from '../../app/text.js';
import { parseSize, formOf, runLine } from '../../app/runline.js';
import { CopyButton, Fact, Search } from '../../components/bits.js';
import { Dialog, attempt, confirm } from '../../components/overlay.js';
import { Icon } from '../../components/icons.js';
import { setQuery } from '../../app/router.js';

const nothing = () => html`<p class="quiet-text">${t('none')}</p>`;
const secret = /pass|secret|token|key|credential/i;

function Env({ env, q }) {
  const [open, setOpen] = useState(/** @type {Set<string>} */ (new Set()));
  const text = fold(q ?? '');
  const list = env.map((line) => { const at = line.indexOf('='); return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)]; }).filter(([key, value]) => fold(key + '=' + value).includes(text));
  if (!list.length) return nothing();
  return html`<table class="plain pairs"><tbody>${list.map(([key, value]) => html`<tr key=${key}><th scope="row" class="mono">${visible(key)}</th><td class="mono">${secret.test(key) && !open.has(key) ? html`<button type="button" class="quiet small" onClick=${() => setOpen(new Set([...open, key]))}><${Icon} name="eye" size=${13} /> ${t('setup.reveal')}</button>` : visible(value)}</td><td class="end"><${CopyButton} text=${value} label=${t('copy') + ' ' + visible(key)} /></td></tr>`)}</tbody></table>`;
}

export default function Setup({ container: c, inspect, query }) {
  const [limits, setLimits] = useState(false);
  const networks = useLive(can('operate') ? 'networks' : null, docker.networks, { interval: 5000 });
  if (!inspect) return html`<p class="late quiet-text">${t('loading')}</p>`;
  const host = inspect.HostConfig ?? {}, config = inspect.Config ?? {};
  const mounts = inspect.Mounts ?? [];
  const ends = Object.entries(inspect.NetworkSettings?.Networks ?? {});
  const line = runLine(formOf(inspect));
  const free = (networks.data ?? []).filter((n) => !['host', 'none'].includes(n.Name) && !ends.some(([name]) => name === n.Name));
  const changed = () => { refreshAll('inspect'); refreshAll('containers'); };
  const connect = async () => {
    const answer = await confirm({ title: t('setup.connect.title', { name: visible(c.name) }), action: t('networks.connect'), pick: { label: t('network'), options: free.map((n) => [n.Name, visible(n.Name)]) } });
    if (answer && answer.picked) attempt(() => docker.connect(answer.picked, c.id).then(changed), t('networks.connected', { name: visible(c.name) }));
  };
  const disconnect = async (name) => {
    if (await confirm({ title: t('networks.disconnect.title', { name: visible(c.name), network: visible(name) }), text: t('networks.disconnect.text'), action: t('networks.disconnect'), danger: true })) attempt(() => docker.disconnect(name, c.id).then(changed), t('networks.disconnected', { name: visible(c.name) }));
  };
  const limit = (value, text) => (value > 0 ? text(value) : t('summary.unlimited'));
  const health = config.Healthcheck?.Test?.slice(1).join(' ');
  const yes = (value) => t(value ? 'yes' : 'no');
  const joinable = can('operate') && !ends.some(([name]) => name === 'host' || name === 'none') && !String(host.NetworkMode).startsWith('container:');
  return html`<div class="scroll cards setup">
    <section class="card wide"><header class="card-head"><h2>${t('create.env')}</h2>${(config.Env ?? []).length > 8 && html`<${Search} value=${query.q ?? ''} label=${t('setup.searchEnv')} onChange=${(q) => setQuery({ q })} />`}</header><${Env} env=${config.Env ?? []} q=${query.q} /></section>
    <section class="card"><header class="card-head"><h2>${t('create.limits')}</h2>${can('operate') && html`<button type="button" onClick=${() => setLimits(true)}>${t('limits.change')}</button>`}</header>
      <dl class="facts"><${Fact} label=${t('memory')}>${limit(host.Memory, bytes)}</${Fact}><${Fact} label=${t('cpu')}>${limit(host.NanoCpus, (v) => number(v / 1e9, 2))}</${Fact}><${Fact} label=${t('processes')}>${limit(host.PidsLimit, String)}</${Fact}><${Fact} label=${t('create.restart')}>${host.RestartPolicy?.Name ? t('restart.' + host.RestartPolicy.Name) : t('restart.no')}${host.RestartPolicy?.MaximumRetryCount ? ` (${host.RestartPolicy.MaximumRetryCount})` : ''}</${Fact}></dl></section>
    <section class="card wide"><h2>${t('summary.mounts')}</h2>${mounts.length ? html`<table class="plain stacked"><thead><tr><th scope="col">${t('mount.to')}</th><th scope="col">${t('mount.from')}</th><th scope="col">${t('mount.kind')}</th><th scope="col" class="end">${t('mount.access')}</th></tr></thead><tbody>${mounts.map((m) => html`<tr key=${m.Destination}><td class="mono">${can('operate') ? html`<a href=${link('/containers/' + encodeURIComponent(c.name) + '/files', { path: m.Destination })}>${visible(m.Destination)}</a>` : visible(m.Destination)}</td>
      <td class="mono break">${m.Type === 'volume' ? html`<a href=${link('/volumes/' + encodeURIComponent(m.Name))}>${visible(m.Name.length === 64 ? m.Name.slice(0, 12) + '…' : m.Name)}</a>` : visible(m.Source || '–')}</td><td>${t('mount.' + (['volume', 'bind', 'tmpfs'].includes(m.Type) ? m.Type : 'other'))}</td><td class="end">${t(m.RW ? 'mount.rw' : 'mount.ro')}</td></tr>`)}</tbody></table>` : nothing()}</section>
    <section class="card"><h2>${t('setup.confinement')}</h2><dl class="facts"><${Fact} label=${t('setup.privileged')}>${yes(host.Privileged)}</${Fact}><${Fact} label=${t('create.readOnly')}>${yes(host.ReadonlyRootfs)}</${Fact}><${Fact} label=${t('process.user')}>${visible(config.User || 'root')}</${Fact}>
      ${host.CapAdd?.length > 0 && html`<${Fact} label=${t('setup.capAdd')}><code>${host.CapAdd.map(visible).join(' ')}</code></${Fact}>`}${host.CapDrop?.length > 0 && html`<${Fact} label=${t('setup.capDrop')}><code>${host.CapDrop.map(visible).join(' ')}</code></${Fact}>`}
      ${host.SecurityOpt?.length > 0 && html`<${Fact} label=${t('setup.security')}><code>${host.SecurityOpt.map(visible).join(' ')}</code></${Fact}>`}<${Fact} label=${t('setup.pidMode')}>${visible(host.PidMode || '–')}</${Fact}><${Fact} label=${t('setup.ipcMode')}>${visible(host.IpcMode || '–')}</${Fact}></dl></section>
    <section class="card wide"><header class="card-head"><h2>${t('setup.networks')}</h2>${joinable && html`<button type="button" disabled=${!free.length} onClick=${connect}><${Icon} name="plus" /> ${t('networks.connect')}</button>`}</header>
      ${ends.length ? html`<table class="plain"><thead><tr><th scope="col">${t('network')}</th><th scope="col">${t('setup.address')}</th><th scope="col" class="spare">${t('networks.gateway')}</th><th scope="col" class="spare">MAC</th><th scope="col"><span class="hidden">${t('table.actions')}</span></th></tr></thead><tbody>${ends.map(([name, end]) => html`<tr key=${name}><td><a href=${link('/networks/' + encodeURIComponent(name))}>${visible(name)}</a></td><td class="mono">${end.IPAddress || '–'}</td><td class="mono spare">${end.Gateway || '–'}</td><td class="mono spare">${end.MacAddress || '–'}</td><td class="end">${joinable && html`<button type="button" class="quiet icon-only" title=${t('networks.disconnect')} aria-label=${t('networks.disconnect') + ' ' + visible(name)} onClick=${() => disconnect(name)}><${Icon} name="close" size=${12} /></button>`}</td></tr>`)}</tbody></table>` : html`<p class="quiet-text">${visible(host.NetworkMode ?? t('none'))}</p>`}
      ${Object.keys(c.ports ?? {}).length > 0 && html`<h3>${t('ports')}</h3><ul class="values">${Object.entries(c.ports).flatMap(([inner, list]) => (list ?? [{}]).map((p) => html`<li key=${inner + p.HostIp + p.HostPort}><code>${p.HostPort ? `${p.HostIp?.includes(':') ? `[${p.HostIp}]` : p.HostIp || '*'}:${p.HostPort} → ${inner}` : inner}</code></li>`))}</ul>`}
      ${inspect.HostConfig?.Dns?.length > 0 && html`<h3>DNS</h3><code>${inspect.HostConfig.Dns.map(visible).join(' ')}</code>`}</section>
    <section class="card"><h2>${t('setup.health')}</h2>${health ? html`<p><code>${visible(health)}</code></p><dl class="facts"><${Fact} label=${t('state')}>${t('health.' + (inspect.State?.Health?.Status ?? 'none'))}</${Fact}><${Fact} label=${t('setup.failing')}>${inspect.State?.Health?.FailingStreak ?? 0}</${Fact}></dl>
      ${(inspect.State?.Health?.Log ?? []).slice(-3).reverse().map((one) => html`<p class="health-line" key=${one.Start}><small class="quiet-text">${dateTime(one.Start)} · ${t('exitCode')} ${one.ExitCode}</small><br /><code class="cut">${visible(one.Output || '–')}</code></p>`)}` : nothing()}</section>
    <section class="card wide"><h2>${t('create.labels')}</h2>${Object.keys(config.Labels ?? {}).length ? html`<table class="plain pairs"><tbody>${Object.entries(config.Labels).map(([key, value]) => html`<tr key=${key}><th scope="row" class="mono">${visible(key)}</th><td class="mono break">${visible(value)}</td><td class="end"><${CopyButton} text=${value} label=${t('copy') + ' ' + visible(key)} /></td></tr>`)}</tbody></table>` : nothing()}</section>
    <section class="card"><h2>${t('setup.again')}</h2><div class="code-box"><code>${visible(line)}</code><${CopyButton} text=${line} /></div>${can('operate') && html`<a class="button" href=${link('/containers/new', { from: c.name })}><${Icon} name="plus" /> ${t('setup.another')}</a>`}</section>
    ${limits && html`<${Limits} container=${c} host=${host} onClose=${() => setLimits(false)} />`}
  </div>`;
}

function Limits({ container, host, onClose }) {
  const [form, setForm] = useState({ memory: host.Memory ? Math.round(host.Memory / 1048576) + 'm' : '', cpus: host.NanoCpus ? String(host.NanoCpus / 1e9) : '', pids: host.PidsLimit > 0 ? String(host.PidsLimit) : '', restart: host.RestartPolicy?.Name || 'no' });
  const [error, setError] = useState('');
  const submit = async (event) => {
    event.preventDefault();
    const memory = form.memory ? parseSize(form.memory) : 0, cpus = form.cpus ? Number(form.cpus.replace(',', '.')) : 0, pids = form.pids ? Number(form.pids) : -1;
    if (Number.isNaN(memory)) return setError(t('create.badMemory', { value: form.memory }));
    if (!(cpus >= 0) || !Number.isInteger(pids)) return setError(t('limits.badNumber'));
    const ok = await attempt(() => docker.update(container.id, { Memory: memory, MemorySwap: memory ? -1 : 0, NanoCpus: Math.round(cpus * 1e9), PidsLimit: pids, RestartPolicy: form.restart === (host.RestartPolicy?.Name || 'no') ? undefined : { Name: form.restart } }), t('limits.done'));
    if (ok !== undefined) { refreshAll('inspect'); onClose(); }
  };
  const field = (name, label, placeholder) => html`<label class="field"><span>${label}</span><input value=${form[name]} placeholder=${placeholder} onInput=${(e) => setForm({ ...form, [name]: e.target.value })} /></label>`;
  return html`<${Dialog} title=${t('limits.change')} onClose=${onClose}><form onSubmit=${submit}><div class="two">${field('memory', t('memory'), '512m')}${field('cpus', t('cpu'), '1.5')}</div><div class="two">${field('pids', t('processes'), '200')}
    <label class="field"><span>${t('create.restart')}</span><select value=${form.restart} onChange=${(e) => setForm({ ...form, restart: e.target.value })}>${['no', 'always', 'unless-stopped', 'on-failure'].map((p) => html`<option key=${p} value=${p} selected=${p === form.restart}>${t('restart.' + p)}</option>`)}</select></label></div><small>${t('limits.hint')}</small><p class="form-error" role="alert">${error}</p>
    <div class="buttons end"><button type="button" onClick=${onClose}>${t('cancel')}</button><button type="submit" class="primary">${t('save')}</button></div></form></${Dialog}>`;
}
