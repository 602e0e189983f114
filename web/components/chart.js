/* chart.js - lines over time, by uPlot, which comes when it is first needed. */
import { html, useEffect, useRef, useState } from '../app/html.js';
import { clock, shortDate } from '../app/i18n.js';
import { useStore } from '../app/store.js';
import { settings } from '../app/settings.js';

/** A style sheet that is needed only now. @param {URL} url */
export function style(url) {
  return new Promise((resolve) => {
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.href = url.href;
    link.onload = link.onerror = () => resolve(undefined);
    document.head.append(link);
  });
}

let library = /** @type {any} */ (null);
const colour = (name) => {
  /* A canvas does not know CSS variables: the colour as the page has it now. */
  const probe = document.createElement('span');
  probe.className = 'colour-probe ' + name;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
};

/* Steps of an axis that are whole KiB, MiB, GiB. */
const binarySteps = Array.from({ length: 45 }, (_, i) => 2 ** i);
const wholeSteps = [1, 2, 5].flatMap((n) => Array.from({ length: 6 }, (_, i) => n * 10 ** i)).sort((a, b) => a - b);

/** events: dashed lines; moment: a full one, where one clicked.
 * @param {{label: string, times: number[], series: {label: string, values: (number|null)[], colour: string, fill?: boolean, thin?: boolean}[], format: (v: number) => string, range: [number, number], sync: string,
 *   onRange: (since: number, until: number) => void, onMoment: (time: number) => void, events: {time: number, text: string, bad: boolean}[], moment: number|null, max?: number, binary?: boolean, whole?: boolean}} props */
export function Chart({ label, times, series, format, range, sync, onRange, onMoment, events, moment, max = 0, binary = false, whole = false }) {
  const root = useRef(/** @type {HTMLDivElement} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const [ready, setReady] = useState(!!library);
  const { theme, contrast } = useStore(settings);
  useEffect(() => {
    if (!library) Promise.all([import('uplot'), style(new URL('../vendor/uplot.css', import.meta.url))]).then(([module]) => { library = module.default; setReady(true); });
  }, []);
  const latest = useRef({ format, onRange, onMoment, events, moment });
  latest.current = { format, onRange, onMoment, events, moment };
  useEffect(() => {
    if (!ready) return;
    const box = root.current;
    let dragged = false;
    const text = colour('muted'), line = colour('grid'), mark = colour('c3'), bad = colour('bad'), here = colour('warn');
    const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: '11px system-ui, sans-serif' };
    plot.current = new library({
      width: box.clientWidth, height: 150, legend: { show: false }, padding: [8, 26, 0, 0],
      cursor: { sync: { key: sync }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      scales: { x: { time: true }, y: { range: (u, low, high) => [0, Math.max(max, (high || 0) * 1.1, 1e-6)] } },
      axes: [{ ...axis, size: 28, space: 96, values: (u, values) => values.map((v) => (u.scales.x.max - u.scales.x.min > 2 * 86400 ? shortDate(v * 1000) : clock(v * 1000).slice(0, u.scales.x.max - u.scales.x.min < 900 ? 8 : 5))) },
        { ...axis, size: 76, space: 34, incrs: binary ? binarySteps : whole ? wholeSteps : undefined, values: (u, values) => values.map((v) => latest.current.format(v)) }],
      series: [{}, ...series.map((s) => ({ label: s.label, stroke: colour(s.colour), width: s.thin ? 0.75 : 1.5, fill: s.fill ? colour(s.colour).replace(/^rgb\((.*)\)$/, 'rgba($1, 0.12)') : undefined, spanGaps: false, points: { show: false } }))],
      hooks: { setSelect: [(u) => {
        if (u.select.width < 8) return;
        dragged = true;
        latest.current.onRange(u.posToVal(u.select.left, 'x') * 1000, u.posToVal(u.select.left + u.select.width, 'x') * 1000);
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }], ready: [(u) => u.over.addEventListener('click', () => {
        if (!dragged && u.cursor.left >= 0) latest.current.onMoment(u.posToVal(u.cursor.left, 'x') * 1000);
        dragged = false;
      })], draw: [(u) => {
        const { ctx, bbox } = u;
        const at = (time, stroke, dash) => {
          const x = Math.round(u.valToPos(time, 'x', true));
          if (x < bbox.left || x > bbox.left + bbox.width) return;
          ctx.save(); ctx.strokeStyle = stroke; ctx.lineWidth = devicePixelRatio; ctx.setLineDash(dash);
          ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke(); ctx.restore();
        };
        for (const event of latest.current.events) at(event.time, event.bad ? bad : mark, [3, 3]);
        if (latest.current.moment) at(latest.current.moment, here, []);
      }] },
    }, [times, ...series.map((s) => s.values)], box);
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: box.clientWidth, height: 150 }));
    observer.observe(box);
    return () => { observer.disconnect(); plot.current.destroy(); plot.current = null; };
  }, [ready, theme, contrast, series.length]);
  useEffect(() => {
    if (!plot.current) return;
    plot.current.setData([times, ...series.map((s) => s.values)], false);
    plot.current.setScale('x', { min: range[0] / 1000, max: range[1] / 1000 });
  }, [ready, times, range[0], range[1], theme, contrast, events, moment]);
  const last = series.map((s) => [...s.values].reverse().find((v) => v !== null));
  return html`<figure class="chart"><figcaption><strong>${label}</strong>${series.map((s, i) => html`<span key=${s.label} class=${'key ' + s.colour}>${s.label} <span class="num">${last[i] == null ? '–' : format(last[i])}</span></span>`)}</figcaption><div class="plot" ref=${root}></div></figure>`;
}
