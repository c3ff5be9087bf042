// A page of ComfyUI in a browser, and what every test does with it.
import { createRequire } from 'node:module'

const STEP_MS = 60000
const RUN_MS = 120000

// The page, and its browser. Nothing leaves this machine.
export async function open(task) {
  // The server keeps them. Without these, a first visit is covered by a tour.
  const settings = {
    'Comfy.TutorialCompleted': true,
    'Comfy.InstalledVersion': '1.47.12',
    'Comfy.Locale': task.locale,
    'Comfy.VueNodes.Enabled': task.nodes2,
    'Comfy.RightSidePanel.IsOpen': false,
    'Comfy.Minimap.Visible': false,
    'Comfy.Notification.ShowVersionUpdates': false,
    'LiteGraph.Canvas.MaximumFps': 10
  }
  const { chromium } = createRequire(import.meta.url)(task.playwright)
  const browser = await chromium.launch({
    executablePath: task.chromium,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking']
  })
  await fetch(`${task.url}/api/settings`, { method: 'POST', body: JSON.stringify(settings) })
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, reducedMotion: 'reduce' })
  await context.route((url) => url.origin !== task.url, (route) => route.abort())
  const page = await context.newPage()
  page.setDefaultTimeout(STEP_MS)
  return { browser, context, page }
}

// Errors that name the pack, or that come of a file of its own.
export function listen(page, pack) {
  const complaints = []
  page.on('pageerror', (error) => complaints.push(error.stack))
  page.on('console', (message) => {
    const said = `${message.text()} ${message.location().url}`
    if (message.type() === 'error' && said.includes(pack)) complaints.push(said)
  })
  return complaints
}

// Queue the graph that is open, as a person does, and wait for its end.
export async function run(page) {
  await page.evaluate(() => {
    window.ended = null
    for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])
      window.comfyAPI.api.api.addEventListener(kind, (event) => (window.ended = { kind, ...event.detail }), { once: true })
  })
  await page.getByTestId('queue-button').click()
  await page.waitForFunction(() => window.ended, null, { timeout: RUN_MS })
  return page.evaluate(() => window.ended)
}
