/* about.js - what runs here, and on what. */
import { html } from '../app/html.js';
import { t, age, bytes } from '../app/i18n.js';
import { docker, skew } from '../app/api.js';
import { connection, useLive } from '../app/live.js';
import { useStore } from '../app/store.js';
import { useInfo } from '../app/sources.js';
import { visible } from '../app/text.js';
import { CopyButton, Fact, Head, Problem } from '../components/bits.js';
import { Icon } from '../components/icons.js';
import { WallGlyph } from '../components/wall.js';

/* [name, licence, where it runs] */
const libraries = [['Preact', 'MIT', 'console'], ['htm', 'Apache-2.0', 'console'], ['uPlot', 'MIT', 'console'], ['xterm.js', 'MIT', 'console'], ['civetweb', 'MIT', 'server'], ['Mbed TLS', 'Apache-2.0', 'server'], ['SQLite', 'Public domain', 'server'], ['cJSON', 'MIT', 'server'], ['libarchive', 'BSD-2-Clause', 'server'], ['libcurl', 'curl', 'server'], ['OpenSSL', 'Apache-2.0', 'server'], ['libseccomp', 'LGPL-2.1', 'server'], ['libfuse', 'LGPL-2.1', 'server'], ['QEMU', 'GPL-2.0', 'machine'], ['Linux', 'GPL-2.0', 'machine'], ['BusyBox', 'GPL-2.0', 'machine']];

export default function About() {
  const info = useInfo();
  const version = useLive('version', docker.version, { interval: 0 });
  const i = info.data, v = version.data;
  const { ok, live } = useStore(connection), off = useStore(skew);
  const free = i?.host.diskBytes ? i.host.diskFreeBytes / i.host.diskBytes : 1;
  const wall = i?.walls?.find((w) => w.name === 'hyperv');
  /* good, warn or bad, and the words for it */
  const health = i ? [
    ['about.stream', ok ? (live ? 'good' : 'warn') : 'bad', t(ok ? (live ? 'connection.live' : 'connection.polling') : 'connection.lost')],
    ['about.sampler', i.samplerSource === 'connector' ? 'good' : 'warn', t('sampler.' + i.samplerSource)],
    ['wall.hyperv', wall?.available ? (wall.securityBoundary ? 'good' : 'warn') : 'bad', wall?.available ? t(wall.securityBoundary ? 'about.boundary' : 'wall.tcg') : t('wall.unavailable', { reason: visible(wall?.reason ?? '') })],
    ['overview.disk', free > 0.15 ? 'good' : free > 0.05 ? 'warn' : 'bad', i.host.diskBytes ? t('overview.free', { free: bytes(i.host.diskFreeBytes), all: bytes(i.host.diskBytes) }) : '–'],
    ['about.clock', off ? 'warn' : 'good', off ? t(off > 0 ? 'skew.ahead' : 'skew.behind', { by: age(Math.abs(off) / 1000) }) : t('about.clock.right')],
  ] : [];
  return html`<div class="view scroll"><${Head} title=${t('nav.about')} /><${Problem} error=${info.error} />
    <div class="cards">
      <section class="card"><h2>Tabique ${i?.version ?? ''}</h2><dl class="facts">
        <${Fact} label=${t('about.api')}>${i?.apiVersion ?? '–'}</${Fact}><${Fact} label=${t('about.pid')}>${i?.pid ?? '–'}</${Fact}><${Fact} label=${t('uptime')}>${age(i?.uptimeSeconds)}</${Fact}>
        <${Fact} label=${t('about.build')}>${visible([v?.GitCommit, v?.BuildTime].filter(Boolean).join(' ')) || '–'}</${Fact}>
        <${Fact} label=${t('about.data')}><code>${visible(i?.dataRoot ?? '–')}</code></${Fact}><${Fact} label=${t('about.socket')}><code>${visible(i?.socket ?? '–')}</code>${i?.socket && html`<${CopyButton} text=${i.socket} />`}</${Fact}>
        <${Fact} label=${t('about.sampler')}>${i ? t('sampler.' + i.samplerSource) : '–'}</${Fact}></dl></section>
      <section class="card"><h2>${t('host')}</h2><dl class="facts">
        <${Fact} label=${t('name')}>${visible(i?.host.name ?? '–')}</${Fact}><${Fact} label=${t('overview.system')}>${visible(i?.host.os ?? '–')}</${Fact}><${Fact} label=${t('overview.kernel')}>${visible(i?.host.kernel ?? '–')}</${Fact}>
        <${Fact} label=${t('overview.cpus')}>${i?.host.cpus ?? '–'}</${Fact}><${Fact} label=${t('memory')}>${bytes(i?.host.memoryBytes)}</${Fact}><${Fact} label="cgroup">v${i?.host.cgroupVersion ?? '–'}</${Fact}></dl></section>
      <section class="card"><h2>${t('setup.health')}</h2><ul class="health">${health.map(([key, kind, text]) => html`<li key=${key} class=${kind}><${Icon} name=${kind === 'good' ? 'check' : 'warn'} /><span><strong>${t(key)}</strong><small>${text}</small></span></li>`)}</ul></section>
      <section class="card"><h2>${t('overview.walls')}</h2>${(i?.walls ?? []).map((wall) => html`<div class="wall-line" key=${wall.name}><${WallGlyph} isolation=${wall.name} size=${34} /><span><strong>${t('wall.' + wall.name)}</strong><small>${wall.available ? t('wall.' + wall.name + '.gives') : t('wall.unavailable', { reason: visible(wall.reason ?? '') })}</small><small>${t('about.kernel.' + wall.kernel)} · ${wall.securityBoundary ? t('about.boundary') : t('about.noboundary')}${wall.accelerator ? ' · ' + wall.accelerator : ''}</small>${wall.kernel === 'own' && i.pool?.wanted ? html`<small>${t('about.pool', { ready: i.pool.ready, wanted: i.pool.wanted, memory: bytes(i.pool.memoryBytes) })}</small>` : null}${wall.kernel === 'own' && i.pool?.stagedBytes ? html`<small>${t('about.staged', { memory: bytes(i.pool.stagedBytes) })}</small>` : null}</span></div>`)}</section>
      <section class="card wide"><h2>${t('about.licences')}</h2><table class="plain"><thead><tr><th scope="col">${t('about.part')}</th><th scope="col">${t('about.where')}</th><th scope="col" class="end">${t('about.licence')}</th></tr></thead><tbody>${libraries.map(([name, licence, where]) => html`<tr key=${name}><td>${name}</td><td class="quiet-text">${t('about.in.' + where)}</td><td class="end">${licence}</td></tr>`)}</tbody></table></section>
    </div></div>`;
}
