// cp into and out of, diff and export, behind both walls, stopped and running: what a file
// system can hold goes in and comes out the same.
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Server } from './lib/server.mjs'

const IMAGE = 'tabique/base'
const SLOW = { timeout: 600_000 }
const BIG = 6 << 20
let server, source, tar

const sh = (command, options = {}) => execFileSync('sh', ['-ec', command], { maxBuffer: 256 << 20, ...options })

before(async () => {
  server = await Server.start({ args: ['--accelerator', 'tcg'] })
  source = fs.mkdtempSync(path.join(server.root, 'source-'))
  fs.writeFileSync(path.join(source, 'big'), crypto.randomBytes(BIG))
  const long = 'n'.repeat(120)
  sh(`mkdir -p dir/${long}/${long} sticky empty; echo deep > dir/${long}/${long}/file; chmod 1777 sticky; chmod 711 empty
    echo suid > suid; chmod 6751 suid; echo none > none; chmod 0 none; : > zero
    echo one > hard-a; ln hard-a dir/hard-b; ln hard-a dir/hard-c
    ln -s /absolute/nowhere dangling; ln -s dir link-to-dir; ln -s ../../../../etc/passwd climbing
    mkfifo pipe; mknod char c 1 7; mknod block b 7 200; chmod 640 block
    truncate -s 16M sparse; printf middle | dd of=sparse bs=1 seek=9000000 conv=notrunc status=none
    touch 'a space' 'new
line' "$(printf 'caf\\303\\251')" "$(printf 'raw\\377')" -- '-dash'
    setfattr -n user.note -v 'kept' big; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 zero
    find . -depth -exec touch -h -d @1234567890 {} +`, { cwd: source })
  tar = path.join(server.root, 'source.tar')
  sh(`tar --xattrs --xattrs-include='*' --numeric-owner --format=posix -C '${source}' -cf '${tar}' .`)
}, { timeout: 180_000 })
after(async () => { await server?.stop() }, { timeout: 180_000 })

// A tree as text: all that stat tells, contents by digest, links by which names share a file.
function tell(dir) {
  const files = sh(`find . -mindepth 1 -printf '%P\\001%y\\001%m\\001%U:%G\\001%T@\\001%l\\001%i\\001%s\\000'`, { cwd: dir }).toString('latin1').split('\0').filter(Boolean)
  const groups = new Map()
  const rows = files.map((line) => {
    const [name, type, mode, owner, time, link, inode, size] = line.split('\x01')
    if (type === 'f') groups.set(inode, [...(groups.get(inode) ?? []), name])
    const file = Buffer.concat([Buffer.from(dir + '/'), Buffer.from(name, 'latin1')])
    const st = fs.lstatSync(file)
    return [name, type, mode, owner, Math.floor(time), link, type === 'f' ? size : '', type === 'c' || type === 'b' ? st.rdev : '',
      type === 'f' ? crypto.createHash('sha256').update(fs.readFileSync(file)).digest('hex') : ''].join(' | ')
  })
  const shared = [...groups.values()].filter((names) => names.length > 1).map((names) => names.sort().join(' = '))
  const attributes = spawnSync('getfattr', ['-R', '-d', '-h', '-m', '^(user|security.capability)', '.'], { cwd: dir, encoding: 'latin1' }).stdout
  return [...rows.sort(), ...shared.sort(), attributes].join('\n')
}

function unpack(data, name) {
  const dir = path.join(server.root, name)
  fs.mkdirSync(dir)
  sh(`tar --xattrs --xattrs-include='*' --numeric-owner --same-permissions --same-owner -C '${dir}' -xf -`, { input: data, stdio: ['pipe', 'pipe', 'pipe'] })
  return dir
}

let count = 0
for (const wall of ['process', 'hyperv'])
  for (const state of ['stopped', 'running'])
    describe(`${wall}, ${state}`, () => {
      test('in, out, diff, export', SLOW, async () => {
        const id = await server.ok('create', '--isolation', wall, IMAGE, 'sleep', '1000', SLOW)
        if (state === 'running') await server.ok('start', id, SLOW)
        const expected = tell(source)
        const put = async (target) => server.request('PUT', `/containers/${id}/archive?path=${target}`, { body: fs.readFileSync(tar), headers: { 'Content-Type': 'application/x-tar' } })
        assert.equal((await put('/none')).status, 404)
        const made = await server.request('PUT', `/containers/${id}/archive?path=/`, { body: sh('mkdir -p m/t && tar -c -C m t && rm -r m', { cwd: server.root }), headers: { 'Content-Type': 'application/x-tar' } })
        assert.equal(made.status, 200, made.text)
        const answer = await put('/t')
        assert.equal(answer.status, 200, answer.text)

        const out = await server.request('GET', `/containers/${id}/archive?path=/t/.`)
        assert.equal(out.status, 200, out.text)
        const copied = unpack(out.raw, `out-${++count}`)
        assert.equal(tell(copied), expected)

        // One file, one link, and what docker cp says of them.
        const stat = async (name) => JSON.parse(Buffer.from((await server.request('HEAD', `/containers/${id}/archive?path=${encodeURIComponent(name)}`)).headers['x-docker-container-path-stat'], 'base64'))
        assert.deepEqual([(await stat('/t/sparse')).size, (await stat('/t/dangling')).linkTarget], [16 << 20, '/absolute/nowhere'])
        const back = path.join(server.root, `back-${++count}`)
        await server.ok('cp', `${id}:/t/big`, back, SLOW)
        assert.ok(fs.readFileSync(back).equals(fs.readFileSync(path.join(source, 'big'))))
        // A link that climbs ends inside the container, not on the host.
        const climbed = await server.docker('cp', '-L', `${id}:/t/climbing`, path.join(server.root, `climbed-${++count}`), SLOW)
        if (climbed.code === 0) assert.doesNotMatch(fs.readFileSync(path.join(server.root, `climbed-${count}`), 'utf8'), /tabique|_apt/)

        const changes = (await server.ok('diff', id, SLOW)).split('\n')
        for (const line of ['A /t', 'A /t/sparse', 'A /t/dir/hard-b', 'A /t/char', 'A /t/pipe']) assert.ok(changes.includes(line), `${line} in ${changes.slice(0, 5)}`)

        const whole = await server.request('GET', `/containers/${id}/export`)
        assert.equal(whole.status, 200)
        const exported = unpack(whole.raw, `export-${++count}`)
        assert.equal(tell(path.join(exported, 't')), expected)
        assert.ok(fs.existsSync(path.join(exported, 'bin/busybox')))
        // Holes stay holes inside: 16 MiB would be told.
        if (state === 'running') assert.ok(Number((await server.ok('exec', id, 'du', '-k', '/t/sparse', SLOW)).split('\t')[0]) < 4096)
        await server.ok('rm', '-f', id, SLOW)
        for (const dir of [copied, exported]) fs.rmSync(dir, { recursive: true })
      })
    })
