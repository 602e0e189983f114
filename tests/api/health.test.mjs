// Health checks behind both walls: states, periods, what of an image's is inherited, the log of
// probes, events. Periods are short; that a state comes is waited for, when it comes is not.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Server, until } from './lib/server.mjs'

let server
before(async () => {
  server = await Server.start()
  const made = await server.docker('build', '-q', '-t', 'checked', '-', { env: { DOCKER_BUILDKIT: '0' }, input: 'FROM tabique/base\nHEALTHCHECK --interval=41s --timeout=7s --start-period=3s --retries=9 CMD test -f /fine\n' })
  assert.equal(made.code, 0, made.stderr)
}, { timeout: 120_000 })
after(async () => { await server?.stop() }, { timeout: 60_000 })

const health = async (name) => (await server.info(name)).State.Health
const becomes = (name, status) => until(`${name} to be ${status}`, async () => {
  const seen = await health(name)
  return seen.Status === status && seen
}, 120_000)

describe('what of an image\'s check is taken', () => {
  const config = async (...flags) => {
    const id = await server.ok('create', ...flags, 'checked')
    return (await server.info(id)).Config.Healthcheck
  }
  const IMAGE = { Test: ['CMD-SHELL', 'test -f /fine'], Interval: 41e9, Timeout: 7e9, StartPeriod: 3e9, Retries: 9 }

  test('all of it, or what the container does not say itself', async () => {
    assert.deepEqual(await config(), IMAGE)
    assert.deepEqual(await config('--health-interval', '2s', '--health-retries', '1'), { ...IMAGE, Interval: 2e9, Retries: 1 })
    assert.deepEqual(await config('--health-cmd', 'true'), { ...IMAGE, Test: ['CMD-SHELL', 'true'] })
  })

  test('--no-healthcheck: no state, no probes', async () => {
    assert.deepEqual(await config('--no-healthcheck'), { ...IMAGE, Test: ['NONE'] })
    await server.ok('run', '-d', '--name', 'unchecked', '--no-healthcheck', 'checked', 'sleep', '600')
    assert.equal((await server.info('unchecked')).State.Health, undefined)
    assert.doesNotMatch(await server.ok('ps', '--filter', 'name=unchecked', '--format', '{{.Status}}'), /health/)
  })
})

for (const wall of ['process', 'hyperv']) {
  describe(wall, () => {
    const run = (name, ...flags) => server.ok('run', '-d', '--name', name, `--isolation=${wall}`, ...flags, 'tabique/base', 'sleep', '600')

    test('starting, healthy, unhealthy, healthy again; five probes are kept; each change is an event', { timeout: 300_000 }, async () => {
      const name = `turns-${wall}`
      await run(name, '--health-cmd', 'echo looked; test -f /fine', '--health-interval', '200ms', '--health-retries', '3', '--health-start-period', '600s', '--health-start-interval', '200ms')
      await until('a probe that failed', async () => (await health(name)).Log.length > 0, 120_000)
      const before = await health(name)
      // In the start period a failure counts for nothing.
      assert.deepEqual([before.Status, before.FailingStreak, before.Log[0].ExitCode, before.Log[0].Output], ['starting', 0, 1, 'looked\n'])
      assert.ok(Date.parse(before.Log[0].End) >= Date.parse(before.Log[0].Start))
      await server.ok('exec', name, 'touch', '/fine')
      const fine = await becomes(name, 'healthy')
      assert.equal(fine.FailingStreak, 0)
      assert.match(await server.ok('ps', '--filter', `name=${name}`, '--format', '{{.Status}}'), /\(healthy\)/)
      await server.ok('exec', name, 'rm', '/fine')
      const ill = await becomes(name, 'unhealthy')
      assert.ok(ill.FailingStreak >= 3)
      const log = await until('five probes', async () => { const seen = (await health(name)).Log; return seen.length >= 5 && seen }, 120_000)
      assert.equal(log.length, 5)
      assert.equal(log.at(-1).ExitCode, 1)
      await server.ok('exec', name, 'touch', '/fine')
      await becomes(name, 'healthy')
      const query = new URLSearchParams({ since: 0, until: Math.ceil(Date.now() / 1000), filters: JSON.stringify({ container: [name], event: ['health_status'] }) })
      const { text } = await server.request('GET', `/events?${query}`)
      assert.deepEqual(text.trim().split('\n').map((line) => JSON.parse(line).Action), ['health_status: healthy', 'health_status: unhealthy', 'health_status: healthy'])
      await server.ok('rm', '-f', name)
    })

    test('a probe that takes too long has failed, and says so', { timeout: 300_000 }, async () => {
      const name = `slow-${wall}`
      await run(name, '--health-cmd', 'sleep 500', '--health-interval', '100ms', '--health-timeout', '1s', '--health-retries', '1')
      const ill = await becomes(name, 'unhealthy')
      assert.equal(ill.Log[0].ExitCode, -1)
      assert.match(ill.Log[0].Output, /^Health check exceeded timeout \(1s\)/)
      await server.ok('rm', '-f', name)
    })
  })
}
