// A whole Debian behind both walls: apt-get and dpkg, a C compiler, a copy of 1 GiB. By
// hand, since it fetches some 60 MB of packages and takes minutes:
//
//     sudo apt-get install mmdebstrap
//     sudo node tests/integration/debian.mjs [WALL...]
//
// TABIQUE_BUILD names the build tree (build/release), TABIQUE_DEBIAN_TAR a root file system
// made before (and kept there if it is not there yet). Ends with a table of seconds for each
// wall, and with failure where anything was not as it should be.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import crypto from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Server } from '../api/lib/server.mjs'

const top = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../..')
process.env.TABIQUE_BUILD ??= path.join(top, 'build/release')
const suite = 'bookworm'
const walls = process.argv.length > 2 ? process.argv.slice(2) : ['process', 'hyperv']
const LONG = { timeout: 1_200_000 }
const work = fs.mkdtempSync(path.join(process.env.TMPDIR ?? '/var/tmp', 'tabique-debian-'))
const say = (text) => console.log(text)

// From where this host has its own packages, with its own keys.
function sources() {
  const own = ['/etc/apt/sources.list', ...(fs.existsSync('/etc/apt/sources.list.d') ? fs.readdirSync('/etc/apt/sources.list.d').map((name) => `/etc/apt/sources.list.d/${name}`) : [])]
  return own.filter((file) => /\.(list|sources)$/.test(file) && fs.existsSync(file) && fs.readFileSync(file, 'utf8').includes(suite))
}

// A repository of one folder, as apt reads it from copy:.
function makeRepository(dir) {
  fs.mkdirSync(dir)
  execFileSync('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', 'hello', 'tree'], { cwd: dir, stdio: 'ignore' })
  const entries = fs.readdirSync(dir).filter((name) => name.endsWith('.deb')).map((name) => {
    const file = path.join(dir, name)
    const data = fs.readFileSync(file)
    return `${execFileSync('dpkg-deb', ['-f', file], { encoding: 'utf8' }).trim()}\nFilename: ./${name}\nSize: ${data.length}\n`
      + `SHA256: ${crypto.createHash('sha256').update(data).digest('hex')}\n`
  })
  fs.writeFileSync(path.join(dir, 'Packages'), entries.join('\n'))
}

const PROGRAM = `#include <stdio.h>
#include <string.h>
static unsigned char sieve[5000001];
int main(void)
{
    long count = 0;
    for (long i = 2; i <= 5000000; i++) {
        if (sieve[i]) continue;
        count++;
        for (long j = i * 2; j <= 5000000; j += i) sieve[j] = 1;
    }
    printf("%ld primes\\n", count);
    return 0;
}
`

// Each: what it is, what is run, what its output must match.
const steps = [
  ['start (bash -c true)', 'true', /^$/],
  ['apt-get update (copy:)', 'rm -rf /etc/apt/sources.list* && echo "deb [trusted=yes] copy:/repo ./" > /etc/apt/sources.list && apt-get -q update', /Reading package lists/],
  ['apt-get install hello', 'DEBIAN_FRONTEND=noninteractive apt-get -qy install hello && hello', /Hello, world!/],
  ['dpkg -i tree', 'dpkg -i /repo/tree_*.deb && tree --version', /Setting up tree[^]*tree v/],
  ['gcc -O2, and the program', 'gcc -O2 -Wall -o /sieve /repo/sieve.c && /sieve', /^348513 primes$/m],
  ['dd 1 GiB, synced', 'dd if=/dev/zero of=/big bs=1M count=1024 conv=fsync 2>&1', /1073741824 bytes/],
  ['cp 1 GiB, synced', 'cp --sparse=never /big /copy && sync && stat -c %s /copy', /^1073741824$/m],
  ['cmp of the two', 'cmp /big /copy && echo equal', /^equal$/m],
  ['apt-get purge, dpkg --verify', 'DEBIAN_FRONTEND=noninteractive apt-get -qy purge hello && dpkg --verify && ! command -v hello && echo consistent', /^consistent$/m],
]

let server
try {
  const tar = process.env.TABIQUE_DEBIAN_TAR ?? path.join(work, 'debian.tar')
  say(`a Debian ${suite} (minbase, gcc)`)
  if (!fs.existsSync(tar)) execFileSync('mmdebstrap', ['--variant=minbase', '--include=gcc,libc6-dev', '--quiet', suite, tar, ...sources()], { stdio: ['ignore', 'inherit', 'inherit'] })
  const repository = path.join(work, 'repository')
  makeRepository(repository)
  fs.writeFileSync(path.join(repository, 'sieve.c'), PROGRAM)

  server = await Server.start({ noImage: true })
  await server.ok('import', tar, 'debian:here', LONG)
  say(`image: ${await server.ok('images', '--format', '{{.Size}}', 'debian:here')}, host: ${os.cpus().length} CPUs`)

  const seconds = {}
  for (const wall of walls) {
    seconds[wall] = {}
    // The first start behind the thick wall also makes the image's disk, once per image.
    const first = Date.now()
    await server.ok('run', '--rm', '--isolation', wall, 'debian:here', 'true', LONG)
    seconds[wall]['first run of the image'] = (Date.now() - first) / 1000
    await server.ok('run', '-d', '--isolation', wall, '--name', wall, '-v', `${repository}:/repo:ro`, 'debian:here', 'sleep', 'infinity', LONG)
    for (const [name, script, expected] of steps) {
      const start = Date.now()
      const output = await server.ok('exec', wall, 'bash', '-c', script, LONG)
      seconds[wall][name] = (Date.now() - start) / 1000
      assert.match(output, expected, `${wall}: ${name}`)
      say(`${wall}: ${name}: ${seconds[wall][name].toFixed(1)} s`)
    }
    await server.ok('rm', '-f', wall, LONG)
  }

  say(`\n| seconds | ${walls.join(' | ')} |\n| --- |${' ---: |'.repeat(walls.length)}`)
  for (const name of Object.keys(seconds[walls[0]])) say(`| ${name} | ${walls.map((wall) => seconds[wall][name].toFixed(1)).join(' | ')} |`)
} finally {
  await server?.stop()
  fs.rmSync(work, { recursive: true, force: true })
}
