/* about.js - what runs here, and on what. */
import { html } from '../app/html.js';
import { t, age, bytes } from '../app/i18n.js';
import { docker } from '../app/api.js';
import { useLive } from '../app/live.js';
import { useInfo } from '../app/sources.js';
import { visible } from '../app/text.js';
import { CopyButton, Fact, Head, Problem } from '../components/bits.js';
import { WallGlyph } from '../components/wall.js';

const libraries = [['Preact', 'MIT'], ['htm', 'Apache-2.0'], ['uPlot', 'MIT'], ['xterm.js', 'MIT'], ['civetweb', 'MIT'], ['mbed TLS', 'Apache-2.0'], ['SQLite', 'public domain'], ['cJSON', 'MIT'], ['libarchive', 'BSD-2-Clause'], ['libcurl', 'curl'], ['libseccomp', 'LGPL-2.1'], ['QEMU', 'GPL-2.0'], ['BusyBox', 'GPL-2.0']];

export default function About() {
  const info = useInfo();
  const version = useLive('version', docker.version, { interval: 0 });
  const i = info.data, v = version.data;
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
      <section class="card wide"><h2>${t('overview.walls')}</h2>${(i?.walls ?? []).map((wall) => html`<div class="wall-line" key=${wall.name}><${WallGlyph} isolation=${wall.name} size=${34} /><span><strong>${t('wall.' + wall.name)}</strong><small>${wall.available ? t('wall.' + wall.name + '.gives') : t('wall.unavailable', { reason: visible(wall.reason ?? '') })}</small><small>${t('about.kernel.' + wall.kernel)} · ${wall.securityBoundary ? t('about.boundary') : t('about.noboundary')}${wall.accelerator ? ' · ' + wall.accelerator : ''}</small></span></div>`)}</section>
      <section class="card wide"><h2>${t('about.licences')}</h2><ul class="licences">${libraries.map(([name, licence]) => html`<li key=${name}><span>${name}</span> <small>${licence}</small></li>`)}</ul></section>
    </div></div>`;
}
