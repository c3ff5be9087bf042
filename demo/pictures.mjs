// Take pictures of graphs in a browser: each is built, laid out, run, and cut out around some of its nodes.
// demo/pictures.py starts it, and says what is taken.
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { text } from 'node:stream/consumers'

import { add, enter, open, run, tidy } from '../devtools/page.mjs'

const MARGIN = 16 // around what is cut out, in pixels of the page
const CLEAR = 200 // of the bars at the borders of the page
const SETTLE_MS = 1500
const PANEL_HEIGHT = 760
const SIZES = { CLIPTextEncode: [300, 110], PreviewImage: [300, 340], LoadImage: [280, 300] } // the views are the point

const task = JSON.parse(await text(process.stdin))
const { browser, page } = await open(task)
const failed = {}
await page.setViewportSize({ width: 2100, height: 1400 })
try {
  await enter(page, task)
  await page.evaluate(() => {
    window.app.canvas.links_render_mode = 2
    window.app.canvas.clear_background_color = '#141414'
  })
  for (const [name, shot] of Object.entries(task.shots)) await take(shot).catch((error) => (failed[name] = String(error)))
  console.log(JSON.stringify(failed))
} finally {
  await browser.close()
}

async function take({ nodes, around, path, runs, panel, steps = [] }) {
  await tidy(page)
  const ids = await add(page, nodes)
  await page.evaluate((sizes) => {
    for (const node of window.app.graph.nodes) if (sizes[node.type]) node.setSize(sizes[node.type])
  }, SIZES)
  const shown = around.length ? around.map((name) => ids[name]) : Object.values(ids)
  await layOut(shown)
  if (runs) {
    const ended = await run(page)
    if (ended.kind !== 'execution_success') throw new Error(`${ended.node_type}: ${ended.exception_message}`)
  }
  for (const step of steps) await page.evaluate(step)
  await page.waitForTimeout(SETTLE_MS)
  await layOut(shown) // what a run shows makes nodes higher
  mkdirSync(dirname(path), { recursive: true })
  if (panel) {
    await page.evaluate((command) => window.app.extensionManager.command.execute(command), panel)
    await page.waitForTimeout(SETTLE_MS)
    const box = await page.locator('.side-bar-panel, .sidebar-content-container').first().boundingBox()
    await page.screenshot({ path, clip: { ...box, height: PANEL_HEIGHT } })
    await page.evaluate((command) => window.app.extensionManager.command.execute(command), panel)
    return
  }
  await page.screenshot({ path, clip: await show(shown) })
}

// Nodes in columns by how far they are from the first ones; those that are not shown lie far away.
async function layOut(shown) {
  await page.evaluate((shown) => {
    const { graph } = window.app
    const depth = new Map()
    const before = (node) => (node.inputs ?? []).map((_, slot) => node.getInputNode(slot)).filter(Boolean)
    const deep = (node) => {
      if (!depth.has(node)) depth.set(node, Math.max(-1, ...before(node).map(deep)) + 1)
      return depth.get(node)
    }
    graph.nodes.forEach(deep)
    const next = (node) => Math.min(...graph.nodes.filter((each) => before(each).includes(node)).map(deep))
    for (const node of graph.nodes) if (Number.isFinite(next(node))) depth.set(node, next(node) - 1) // near its reader
    const columns = []
    for (const node of graph.nodes) (columns[depth.get(node)] ??= []).push(node)
    let x = 0
    graph.nodes.forEach((node) => (node.pos = [-9000, 0]))
    for (const some of columns) {
      const column = (some ?? []).filter((node) => shown.includes(node.id))
      if (!column.length) continue
      let y = 0
      for (const node of column) {
        node.pos = [x, y]
        y += node.size[1] + 60
      }
      x += Math.max(...column.map((node) => node.size[0])) + 50
    }
    window.app.canvas.deselectAll()
    window.app.canvas.setDirty(true, true)
  }, shown)
}

// Bring nodes into view, and say where they and their badges are on the page.
async function show(ids) {
  const box = await page.evaluate(([ids, clear]) => {
    const { canvas, graph } = window.app
    const boxes = ids.map((id) => graph.getNodeById(id)).map(({ pos, size }) => [pos[0], pos[1] - 50, pos[0] + size[0], pos[1] + size[1]])
    const [left, top, right, bottom] = [0, 1, 2, 3].map((side) =>
      (side < 2 ? Math.min : Math.max)(...boxes.map((box) => box[side]))
    )
    const { clientWidth, clientHeight } = canvas.canvas
    const scale = Math.min(1, (clientWidth - 2 * clear) / (right - left), (clientHeight - 2 * clear) / (bottom - top))
    canvas.ds.scale = scale
    canvas.ds.offset = [clear / scale - left, clear / scale - top]
    canvas.setDirty(true, true)
    const at = canvas.canvas.getBoundingClientRect()
    return { x: at.left + clear, y: at.top + clear, width: (right - left) * scale, height: (bottom - top) * scale }
  }, [ids, CLEAR])
  await page.waitForTimeout(SETTLE_MS)
  return { x: box.x - MARGIN, y: box.y - MARGIN, width: box.width + 2 * MARGIN, height: box.height + 2 * MARGIN }
}
