/* summary.js - what one asks first about a container. */
import { html } from '../../app/html.js';
import { t, bytes, percent, dateTime, number } from '../../app/i18n.js';
import { tabique } from '../../app/api.js';
import { useLive } from '../../app/live.js';
import { useSeries } from '../../app/series.js';
import { link } from '../../app/router.js';
import { visible } from '../../app/text.js';
import { Age, Fact, Meter, Sparkline, CopyButton } from '../../components/bits.js';
import { WallGlyph } from '../../components/wall.js';

export default function Summary({ container: c, inspect, info }) {
  const stamp = c.cpuPercent === null ? null : Date.now() >> 10;
  const cpu = useSeries('cpu' + c.id, c.cpuPercent, stamp), memory = useSeries('mem' + c.id, c.memoryBytes, stamp);
  const events = useLive(['events', c.id, 'few'], () => tabique.events({ order: 'desc', limit: 8, id: c.id }), { interval: 4000 });
  const host = inspect?.HostConfig ?? {}, config = inspect?.Config ?? {};
  const wall = info?.walls?.find((w) => w.name === c.isolation);
  const path = '/containers/' + encodeURIComponent(c.name);
  const ports = Object.entries(c.ports ?? {}).flatMap(([inner, list]) => (list ?? []).map((p) => [`${p.HostIp?.includes(':') ? `[${p.HostIp}]` : p.HostIp || '*'}:${p.HostPort}`, inner]));
  return html`<div class="scroll cards">
    <section class="card"><h2>${t('summary.now')}</h2>
      <div class="gauge"><span>${t('cpu')}</span><strong>${percent(c.cpuPercent)}</strong><${Sparkline} values=${cpu} width=${150} height=${28} /></div>
      <div class="gauge"><span>${t('memory')}</span><strong>${bytes(c.memoryBytes)}</strong>${host.Memory > 0 ? html`<${Meter} value=${(c.memoryBytes ?? 0) / host.Memory} label=${t('memory')} /><small>${t('of', { used: percent((c.memoryBytes ?? 0) / host.Memory * 100), all: bytes(host.Memory) })}</small>` : html`<${Sparkline} values=${memory} width=${150} height=${28} />`}</div>
      <dl class="facts"><${Fact} label=${t('processes')}><a href=${link(path + '/processes')}>${c.pids ?? '–'}</a></${Fact}><${Fact} label=${t('process.onHost')}><span class="mono">${c.pid || '–'}</span></${Fact}>
        <${Fact} label=${t('summary.started')}>${dateTime(c.startedAt)} ${c.state === 'running' && html`<small class="quiet-text"><${Age} since=${c.startedAt} /></small>`}</${Fact}>
        ${c.finishedAt && c.state !== 'running' && html`<${Fact} label=${t('summary.finished')}>${dateTime(c.finishedAt)}</${Fact}><${Fact} label=${t('exitCode')}>${c.exitCode}${c.oomKilled ? ' · ' + t('summary.oom') : ''}</${Fact}>`}
        <${Fact} label=${t('summary.restarts')}>${number(c.restartCount)}</${Fact}></dl></section>
    <section class="card"><h2>${t('summary.wall')}</h2><div class="wall-line"><${WallGlyph} isolation=${c.isolation} size=${40} /><span><strong>${t('wall.' + c.isolation)}</strong><small>${t('wall.' + c.isolation + '.gives')}</small></span></div>
      <dl class="facts"><${Fact} label=${t('overview.kernel')}>${wall ? t('about.kernel.' + wall.kernel) : '–'}</${Fact}><${Fact} label=${t('summary.boundary')}>${wall ? t(wall.securityBoundary ? 'yes' : 'no') : '–'}</${Fact}>${wall?.accelerator && html`<${Fact} label=${t('about.accelerator')}>${wall.accelerator}</${Fact}>`}</dl>
      <p class="card-foot"><a href=${link('/compare/' + encodeURIComponent(c.name))}>${t('summary.compare')}</a></p></section>
    <section class="card"><h2>${t('summary.runs')}</h2><dl class="facts"><${Fact} label=${t('image')}><a href=${link('/images/' + encodeURIComponent(c.imageId))}>${visible(c.image)}</a></${Fact}>
      <${Fact} label=${t('process.user')}>${visible(config.User || 'root')}</${Fact}><${Fact} label=${t('create.workdir')}><code>${visible(config.WorkingDir || '/')}</code></${Fact}>
      <${Fact} label=${t('create.restart')}>${host.RestartPolicy?.Name ? t('restart.' + host.RestartPolicy.Name) : t('restart.no')}</${Fact}></dl>
      <div class="code-box"><code>${visible([...(config.Entrypoint ?? []), ...c.command].join(' '))}</code><${CopyButton} text=${c.command.join(' ')} /></div></section>
    <section class="card"><h2>${t('network')}</h2>${c.networks.length ? html`<dl class="facts">${c.networks.map((n) => html`<${Fact} key=${n.name} label=${html`<a href=${link('/networks/' + encodeURIComponent(n.name))}>${visible(n.name)}</a>`}><span class="mono">${n.ip || '–'}</span>${n.ip && html`<${CopyButton} text=${n.ip} />`}</${Fact}>`)}
      ${ports.map(([outer, inner]) => html`<${Fact} key=${outer + inner} label=${html`<span class="mono">${outer}</span>`}><span class="mono">→ ${inner}</span></${Fact}>`)}</dl>` : html`<p class="quiet-text">${visible(host.NetworkMode ?? t('none'))}</p>`}
      ${c.networks.length > 0 && !ports.length && html`<p class="quiet-text card-foot">${t('summary.noPorts')}</p>`}</section>
    <section class="card wide"><h2>${t('summary.lately')}</h2>${events.data?.events.length ? html`<table class="plain"><tbody>${events.data.events.map((e) => html`<tr key=${e.sequence}><td class="num"><a href=${link('/compare/' + encodeURIComponent(c.name), { at: e.time })}>${dateTime(e.time)}</a></td><td>${visible(e.action)}</td><td class="end quiet-text">${e.attributes.exitCode !== undefined ? t('exitCode') + ' ' + e.attributes.exitCode : ''}</td></tr>`)}</tbody></table>` : html`<p class="quiet-text">${events.loading ? ' ' : t('events.none')}</p>`}
      <p class="card-foot"><a href=${link(path + '/events')}>${t('summary.allEvents')}</a></p></section>
  </div>`;
}
