/* overview.js - the host, what runs, what is hot, what failed lately. */
import { html, useMemo } from '../app/html.js';
import { t, bytes, number, percent, clock } from '../app/i18n.js';
import { tabique } from '../app/api.js';
import { useLive } from '../app/live.js';
import { useContainers, useInfo } from '../app/sources.js';
import { link } from '../app/router.js';
import { can } from '../app/session.js';
import { visible } from '../app/text.js';
import { Age, Head, Meter, Problem, Sparkline, Fact } from '../components/bits.js';
import { StateBadge, WallBadge, WallGlyph } from '../components/wall.js';
import { Icon } from '../components/icons.js';
import { feed, seriesOf, useSeries } from '../app/series.js';

export default function Overview() {
  const info = useInfo();
  const host = useLive('host', tabique.host, { interval: 2000, topic: { topic: 'stats' } });
  const list = useContainers();
  const failures = useLive('failures', () => tabique.events({ type: 'container', action: 'die', order: 'desc', limit: 40 }), { interval: 5000 });
  const containers = list.data?.containers ?? [];
  feed(containers, list.at);
  const hot = useMemo(() => containers.filter((c) => c.state === 'running').sort((a, b) => (b.cpuPercent ?? 0) - (a.cpuPercent ?? 0) || (b.memoryBytes ?? 0) - (a.memoryBytes ?? 0)).slice(0, 6), [list.data]);
  const failed = (failures.data?.events ?? []).filter((e) => e.attributes.exitCode && e.attributes.exitCode !== '0').slice(0, 6);
  const sick = containers.filter((c) => c.health === 'unhealthy' || c.state === 'restarting' || c.state === 'dead');
  const h = host.data, i = info.data;
  const cpu = h?.cpuPercent == null ? null : Math.min(100, h.cpuPercent / h.cpus);
  const cpuLine = useSeries('host', cpu, host.at);
  const memory = h ? 1 - h.memoryAvailable / h.memoryTotal : 0;
  return html`<div class="view scroll">
    <${Head} title=${t('nav.overview')} sub=${i ? i.host.name : ''}>${can('operate') && html`<a class="button primary" href=${link('/containers/new')}><${Icon} name="plus" /><span class="words">${t('create.title')}</span></a>`}</${Head}>
    <${Problem} error=${info.error ?? host.error ?? list.error} stale=${host.stale} />
    <div class="cards">
      <section class="card" aria-labelledby="card-host"><h2 id="card-host">${t('overview.host')}</h2>
        <div class="gauge"><span>${t('cpu')}</span><strong>${cpu === null ? '–' : percent(cpu)}</strong><${Meter} value=${(cpu ?? 0) / 100} label=${t('cpu')} /><${Sparkline} values=${cpuLine} max=${100} width=${128} /></div>
        <div class="gauge"><span>${t('memory')}</span><strong>${h ? percent(memory * 100) : '–'}</strong><${Meter} value=${memory} label=${t('memory')} /><small>${h ? t('of', { used: bytes(h.memoryTotal - h.memoryAvailable), all: bytes(h.memoryTotal) }) : ' '}</small></div>
        <dl class="facts">
          ${i?.host.diskBytes && html`<${Fact} label=${t('overview.disk')}>${t('overview.free', { free: bytes(i.host.diskFreeBytes), all: bytes(i.host.diskBytes) })}</${Fact}>`}
          <${Fact} label=${t('overview.load')}>${h ? [h.load1, h.load5, h.load15].map((v) => number(v, 2)).join('  ') : '–'}</${Fact}>
          <${Fact} label=${t('overview.cpus')}>${h?.cpus ?? '–'}</${Fact}>
          <${Fact} label=${t('overview.kernel')}>${i?.host.kernel ?? '–'}</${Fact}>
          <${Fact} label=${t('about.accelerator')}>${i ? i.accelerator || t('none') : '–'}</${Fact}>
          <${Fact} label=${t('overview.machines')}>${i?.accelerator ? [i.pool.wanted > 0 && t('overview.machines.warm', { ready: i.pool.ready, wanted: i.pool.wanted }), i.pool.stagedBytes ? t('overview.machines.staged', { memory: bytes(i.pool.stagedBytes) }) : t('overview.machines.plain')].filter(Boolean).join(' · ') : '–'}</${Fact}>
        </dl></section>
      <section class="card" aria-labelledby="card-walls"><h2 id="card-walls">${t('overview.walls')}</h2>
        ${(i?.walls ?? [{ name: 'process' }, { name: 'hyperv' }]).map((wall) => {
          const mine = containers.filter((c) => c.isolation === wall.name);
          return html`<a class="wall-line" key=${wall.name} href=${link('/containers', { wall: wall.name })}>
            <${WallGlyph} isolation=${wall.name} size=${34} />
            <span><strong>${t('wall.' + wall.name)}</strong><small>${wall.available === false ? t('wall.unavailable', { reason: visible(wall.reason ?? '') }) : t('wall.' + wall.name + '.gives')}</small></span>
            <span class="count"><strong>${mine.filter((c) => c.state === 'running').length}</strong><small>${t('overview.running', { n: mine.length })}</small></span></a>`;
        })}
      </section>
      <section class="card" aria-labelledby="card-states"><h2 id="card-states">${t('overview.states')}</h2>
        <ul class="state-list">${['running', 'paused', 'restarting', 'created', 'exited', 'dead'].map((state) => {
          const n = containers.filter((c) => c.state === state).length;
          return (n > 0 || state === 'running' || state === 'exited') && html`<li key=${state}><a href=${link('/containers', { state })}><${StateBadge} state=${state} /><strong>${n}</strong></a></li>`;
        })}</ul></section>
      <section class="card" aria-labelledby="card-failed"><h2 id="card-failed">${t('overview.failed')}</h2>
        ${sick.length > 0 && html`<ul class="state-list">${sick.slice(0, 4).map((c) => html`<li key=${c.id}><a href=${link('/containers/' + encodeURIComponent(c.name))}><span class="cut">${visible(c.name)}</span><span class="grow"></span><${StateBadge} state=${c.state} health=${c.health} /></a></li>`)}</ul>`}
        ${failed.length ? html`<table class="plain"><thead><tr><th scope="col">${t('time')}</th><th scope="col">${t('container')}</th><th scope="col" class="end">${t('exitCode')}</th></tr></thead><tbody>${failed.map((e) => html`<tr key=${e.sequence}><td><a href=${link('/compare/' + encodeURIComponent(e.attributes.name ?? e.id), { at: e.time })}>${clock(e.time)}</a> <small class="quiet-text"><${Age} since=${e.time} /></small></td><td><a href=${link('/containers/' + encodeURIComponent(e.attributes.name ?? e.id))}>${visible(e.attributes.name ?? e.id.slice(0, 12))}</a></td><td class="end num">${e.attributes.exitCode}</td></tr>`)}</tbody></table>`
          : !sick.length && html`<p class="quiet-text">${failures.loading ? ' ' : t('overview.nofailures')}</p>`}</section>
      <section class="card wide" aria-labelledby="card-hot"><h2 id="card-hot">${t('overview.hot')}</h2>
        ${hot.length ? html`<table class="plain"><thead><tr><th scope="col">${t('container')}</th><th scope="col">${t('wall')}</th><th scope="col" class="spark-cell spare"><span class="hidden">${t('table.trend')}</span></th><th scope="col" class="end">${t('cpu')}</th><th scope="col" class="end">${t('memory')}</th><th scope="col" class="spare"><span class="hidden">${t('nav.compare')}</span></th></tr></thead>
          <tbody>${hot.map((c) => html`<tr key=${c.id}><td><a href=${link('/containers/' + encodeURIComponent(c.name))}>${visible(c.name)}</a></td><td><${WallBadge} isolation=${c.isolation} /></td><td class="spark-cell spare"><${Sparkline} values=${seriesOf('cpu' + c.id)} width=${90} /></td><td class="end num">${percent(c.cpuPercent)}</td><td class="end num">${bytes(c.memoryBytes)}</td><td class="end spare"><a href=${link('/compare/' + encodeURIComponent(c.name))}>${t('nav.compare')}</a></td></tr>`)}</tbody></table>`
          : html`<p class="quiet-text">${list.loading ? ' ' : t('overview.nothing')}</p>`}</section>
    </div></div>`;
}
