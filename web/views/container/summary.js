/* summary.js - what one asks first about a container. */
import { html, useState } from '../../app/html.js';
import { t, bytes, percent, dateTime, number } from '../../app/i18n.js';
import { docker } from '../../app/api.js';
import { refreshAll } from '../../app/live.js';
import { useSeries } from '../../app/series.js';
import { link } from '../../app/router.js';
import { can } from '../../app/session.js';
import { visible } from '../../app/text.js';
import { parseSize } from '../../app/runline.js';
import { Age, Fact, Sparkline, CopyButton } from '../../components/bits.js';
import { Dialog, attempt } from '../../components/overlay.js';
import { WallGlyph } from '../../components/wall.js';

export default function Summary({ container: c, inspect, info }) {
  const [limits, setLimits] = useState(false);
  const cpu = useSeries('cpu' + c.id, c.cpuPercent, c.cpuPercent === null ? null : Date.now() >> 10);
  const memory = useSeries('mem' + c.id, c.memoryBytes, c.memoryBytes === null ? null : Date.now() >> 10);
  const host = inspect?.HostConfig ?? {}, config = inspect?.Config ?? {};
  const wall = info?.walls?.find((w) => w.name === c.isolation);
  const list = (items) => (items?.length ? html`<ul class="values">${items.map((item, i) => html`<li key=${i}><code>${visible(item)}</code></li>`)}</ul>` : html`<p class="quiet-text">${t('none')}</p>`);
  return html`<div class="scroll cards">
    <section class="card"><h2>${t('summary.now')}</h2>
      <div class="gauge"><span>${t('cpu')}</span><strong>${percent(c.cpuPercent)}</strong><${Sparkline} values=${cpu} width=${120} height=${28} /></div>
      <div class="gauge"><span>${t('memory')}</span><strong>${bytes(c.memoryBytes)}</strong><${Sparkline} values=${memory} width=${120} height=${28} /></div>
      <dl class="facts"><${Fact} label=${t('processes')}>${c.pids ?? '–'}</${Fact}><${Fact} label=${t('process.onHost')}><span class="mono">${c.pid || '–'}</span></${Fact}>
        <${Fact} label=${t('summary.started')}>${dateTime(c.startedAt)} ${c.state === 'running' && html`<small class="quiet-text"><${Age} since=${c.startedAt} /></small>`}</${Fact}>
        ${c.finishedAt && c.state !== 'running' && html`<${Fact} label=${t('summary.finished')}>${dateTime(c.finishedAt)}</${Fact}><${Fact} label=${t('exitCode')}>${c.exitCode}${c.oomKilled ? ' · ' + t('summary.oom') : ''}</${Fact}>`}
        <${Fact} label=${t('summary.restarts')}>${c.restartCount}</${Fact}></dl></section>
    <section class="card"><h2>${t('summary.wall')}</h2><div class="wall-line"><${WallGlyph} isolation=${c.isolation} size=${40} /><span><strong>${t('wall.' + c.isolation)}</strong><small>${t('wall.' + c.isolation + '.gives')}</small><small>${wall ? t('about.kernel.' + wall.kernel) + ' · ' + (wall.securityBoundary ? t('about.boundary') : t('about.noboundary')) + (wall.accelerator ? ' · ' + wall.accelerator : '') : ' '}</small></span></div>
      <p><a href=${link('/compare/' + encodeURIComponent(c.name))}>${t('summary.compare')}</a></p></section>
    <section class="card"><h2>${t('summary.runs')}</h2><dl class="facts"><${Fact} label=${t('image')}><a href=${link('/images/' + encodeURIComponent(c.imageId))}>${visible(c.image)}</a></${Fact}>
      <${Fact} label=${t('command')}><code>${visible(c.command.join(' '))}</code><${CopyButton} text=${c.command.join(' ')} /></${Fact}>
      <${Fact} label=${t('process.user')}>${visible(config.User || 'root')}</${Fact}><${Fact} label=${t('create.workdir')}><code>${visible(config.WorkingDir || '/')}</code></${Fact}>
      <${Fact} label=${t('create.restart')}>${host.RestartPolicy?.Name ? t('restart.' + host.RestartPolicy.Name) : t('restart.no')}</${Fact}></dl></section>
    <section class="card"><h2>${t('create.limits')}</h2><dl class="facts"><${Fact} label=${t('memory')}>${host.Memory ? bytes(host.Memory) : t('summary.unlimited')}</${Fact}><${Fact} label=${t('cpu')}>${host.NanoCpus ? number(host.NanoCpus / 1e9, 2) : t('summary.unlimited')}</${Fact}><${Fact} label=${t('processes')}>${host.PidsLimit > 0 ? host.PidsLimit : t('summary.unlimited')}</${Fact}></dl>
      ${can('operate') && inspect && html`<button type="button" onClick=${() => setLimits(true)}>${t('limits.change')}</button>`}</section>
    <section class="card"><h2>${t('network')}</h2>${c.networks.length ? html`<dl class="facts">${c.networks.map((n) => html`<${Fact} key=${n.name} label=${visible(n.name)}><span class="mono">${n.ip || '–'}</span></${Fact}>`)}</dl>` : html`<p class="quiet-text">${visible(host.NetworkMode ?? t('none'))}</p>`}
      <h3>${t('ports')}</h3>${list(Object.entries(c.ports ?? {}).flatMap(([inner, b]) => (b ?? []).map((p) => `${p.HostIp || '*'}:${p.HostPort} → ${inner}`)))}</section>
    <section class="card"><h2>${t('summary.mounts')}</h2>${list((inspect?.Mounts ?? []).map((m) => `${m.Name ?? m.Source} → ${m.Destination}${m.RW ? '' : ' (ro)'}`))}</section>
    <section class="card wide"><h2>${t('create.env')}</h2>${list(config.Env ?? [])}</section>
    <section class="card wide"><h2>${t('create.labels')}</h2>${list(Object.entries(c.labels ?? {}).map(([key, value]) => `${key}=${value}`))}</section>
    ${limits && html`<${Limits} container=${c} host=${host} onClose=${() => setLimits(false)} />`}
  </div>`;
}

function Limits({ container, host, onClose }) {
  const [form, setForm] = useState({ memory: host.Memory ? Math.round(host.Memory / 1048576) + 'm' : '', cpus: host.NanoCpus ? String(host.NanoCpus / 1e9) : '', pids: host.PidsLimit > 0 ? String(host.PidsLimit) : '' });
  const [error, setError] = useState('');
  const submit = async (event) => {
    event.preventDefault();
    const memory = form.memory ? parseSize(form.memory) : 0;
    if (Number.isNaN(memory)) return setError(t('create.badMemory', { value: form.memory }));
    const ok = await attempt(() => docker.update(container.id, { Memory: memory, MemorySwap: memory ? -1 : 0, NanoCpus: form.cpus ? Math.round(Number(form.cpus) * 1e9) : 0, PidsLimit: form.pids ? Number(form.pids) : -1 }), t('limits.done'));
    if (ok !== undefined) { refreshAll('inspect'); onClose(); }
  };
  const field = (name, label, placeholder) => html`<label class="field"><span>${label}</span><input value=${form[name]} placeholder=${placeholder} onInput=${(e) => setForm({ ...form, [name]: e.target.value })} /></label>`;
  return html`<${Dialog} title=${t('limits.change')} onClose=${onClose}><form onSubmit=${submit}>${field('memory', t('memory'), '512m')}${field('cpus', t('cpu'), '1.5')}${field('pids', t('processes'), '200')}<small>${t('limits.hint')}</small><p class="form-error" role="alert">${error}</p>
    <div class="buttons end"><button type="button" onClick=${onClose}>${t('cancel')}</button><button type="submit" class="primary">${t('save')}</button></div></form></${Dialog}>`;
}
