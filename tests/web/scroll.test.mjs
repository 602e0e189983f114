// Long lists: 2,000 containers, 5,000 processes, a comparison of 1,500, all of which live and die,
// are scrolled from end to end; only what is in sight exists, every row comes by, nothing is kept of what has gone.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { crowd } from './lib/crowd.mjs'
import { Console } from './lib/console.mjs'

let it, context, page, wire, told
before(async () => {
  it = await Console.start()
  context = await it.context()
  page = await context.newPage()
  page.on('crash', () => it.problems.push('the page died'))
  await it.signIn(page)
  wire = await context.newCDPSession(page)
  await wire.send('Performance.enable')
  await wire.send('HeapProfiler.enable')
  told = await crowd(page, { containers: 2000, processes: 5000, births: 5, every: 2000 })
})
after(async () => { await it?.stop() })

// A screen a frame; which rows stood there, and how many at once at most.
const walk = (box) => page.evaluate((selector) => new Promise((resolve) => {
  const box = document.querySelector(selector), seen = new Set()
  let most = 0, bare = 0
  const look = () => {
    const rows = [...box.querySelectorAll('tbody tr[aria-rowindex]')]
    most = Math.max(most, rows.length)
    for (const row of rows) seen.add(Number(row.getAttribute('aria-rowindex')))
    const at = box.getBoundingClientRect(), middle = document.elementFromPoint(at.left + 30, at.top + at.height / 2)
    if (!middle?.closest('tr[aria-rowindex]')) bare++
    if (box.scrollTop + box.clientHeight >= box.scrollHeight - 1) return resolve({ seen: seen.size, last: Math.max(...seen), most, bare })
    box.scrollTop += box.clientHeight - 64
    requestAnimationFrame(() => setTimeout(look))
  }
  look()
}), box)
const rowsOf = (box) => page.waitForFunction((selector) => Number(document.querySelector(selector + ' table')?.getAttribute('aria-rowcount')) > 1000, box)

for (const [what, path, box, least] of [
  ['2,000 containers', '/ui/containers', 'main .table', 2001],
  ['5,000 processes of the host', '/ui/host?flat=1', 'main .table', 5001],
  ['5,000 processes of one container', '/ui/containers/row-1/processes', 'main .table', 5001],
])
  test(`${what}: scrolled from end to end`, async () => {
    await it.go(page, path)
    await rowsOf(box)
    const { seen, last, most, bare } = await walk(box)
    assert.equal(last, least, 'the last row came by')
    assert.equal(seen, least - 1, 'and every other')
    assert.ok(most < 120, `${most} rows at once`)
    assert.equal(bare, 0, 'nothing was bare')
  })

test('a live comparison: scrolled from end to end; it keeps nothing of what has gone', async () => {
  await page.close()
  page = await context.newPage()
  page.on('crash', () => it.problems.push('the page died'))
  wire = await context.newCDPSession(page)
  await wire.send('Performance.enable')
  await wire.send('HeapProfiler.enable')
  told = await crowd(page, { containers: 5, processes: 1500, births: 5, every: 1000 })
  await it.go(page, '/ui/compare/row-1?others=shown')
  await rowsOf('.pane.host .table')
  const { last, most, bare } = await walk('.pane.host .table')
  assert.equal(last, 1501)
  assert.ok(most < 120, `${most} rows at once`)
  assert.equal(bare, 0)
  // While it is scrolled: rows come and go with each frame, and with each turn.
  await page.evaluate(() => {
    const box = document.querySelector('.pane.host .table')
    let step = 90
    const tick = () => {
      if (box.scrollTop + box.clientHeight >= box.scrollHeight - 1) step = -90
      if (box.scrollTop <= 0) step = 90
      box.scrollTop += step
      requestAnimationFrame(tick)
    }
    tick()
  })
  const nodes = async (turns) => {
    for (const until = told.turns + turns; told.turns < until;) await page.waitForTimeout(200)
    await wire.send('HeapProfiler.collectGarbage')
    return (await wire.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'Nodes').value
  }
  const first = await nodes(3), then = await nodes(9)
  assert.ok(then < first * 1.3, `${first} nodes, then ${then}`)
})

test('the browser complained of nothing', () => {
  assert.deepEqual(it.problems, [])
})
