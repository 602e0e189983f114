// A server, a browser, and somebody signed in: what the console's tests stand on.
//
// TABIQUE_WEB       the console as tools/build-web laid it out
// TABIQUE_CHROMIUM  the browser (default: Debian's)
import fs from 'node:fs'
import path from 'node:path'
import { chromium } from 'playwright-core'
import { Server } from '../../api/lib/server.mjs'

export const PASSWORD = 'a password of the tests'

export class Console {
  // options: as Server.start's
  static async start(options = {}) {
    const it = new Console()
    try {
      if (!process.env.TABIQUE_WEB) throw new Error('TABIQUE_WEB is not set: run tools/test, or name the laid-out console')
      it.server = await Server.start({ ...options, args: ['--web-dir', process.env.TABIQUE_WEB, ...(options.args ?? [])] })
      it.origin = `https://127.0.0.1:${it.server.port}`
      it.browser = await chromium.launch({
        executablePath: process.env.TABIQUE_CHROMIUM || '/usr/bin/chromium',
        args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
          '--disable-component-update', '--disable-sync'],
      })
      it.problems = []
      return it
    } catch (error) {
      await it.stop()
      throw error
    }
  }

  // A browser of its own (cookies, storage). What the page complains about is kept in problems.
  async context(options = {}) {
    const context = await this.browser.newContext({ ignoreHTTPSErrors: true, locale: 'en-GB', reducedMotion: 'reduce', viewport: { width: 1440, height: 900 }, ...options })
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: this.origin }).catch(() => {})
    context.on('page', (page) => {
      page.on('pageerror', (error) => this.problems.push(`${page.url()}: ${error.stack ?? error}`))
      page.on('console', (message) => {
        // A refused request is in the browser's console too: those that a test provokes are its own affair.
        if (message.type() === 'error' && !/Failed to load resource|WebSocket connection/.test(message.text())) this.problems.push(`${page.url()}: ${message.text()}`)
      })
    })
    return context
  }

  // Chromium drops what it is fetching when a network interface of the machine
  // comes or goes, and containers make and remove interfaces.
  async go(page, path) {
    for (let left = 4; ; left--) {
      try {
        await page.goto(this.origin + path)
        await page.waitForSelector('main', { timeout: 10_000 })
        return
      } catch (error) {
        if (!left) throw error
        await page.waitForTimeout(300)
      }
    }
  }

  firstPassword() {
    return fs.readFileSync(path.join(this.server.dataDir, 'admin-password'), 'utf8').trim()
  }

  async fillSignIn(page, user, password) {
    await page.fill('input[name=user]', user)
    await page.fill('input[name=password]', password)
    await page.click('button[type=submit]')
  }

  // Signed in as admin, whatever the state of the first password.
  async signIn(page, user = 'admin', password = PASSWORD) {
    await this.go(page, '/ui/')
    if (user === 'admin' && !this.changed) {
      await this.fillSignIn(page, 'admin', this.firstPassword())
      await page.fill('input[name=old]', this.firstPassword())
      await page.fill('input[name=new]', PASSWORD)
      await page.fill('input[name=repeat]', PASSWORD)
      await page.click('button[type=submit]')
      this.changed = true
    } else await this.fillSignIn(page, user, password)
    await page.waitForSelector('.shell')
  }

  async stop() {
    await this.browser?.close()
    await this.server?.stop()
  }
}
