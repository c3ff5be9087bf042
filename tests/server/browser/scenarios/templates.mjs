// The example workflows and the nodes that they have not: opened, run, saved, and their help read.
import { unlinkSync, writeFileSync } from 'node:fs'

import { run } from '../../../../devtools/page.mjs'

const HELP_MS = 20000
const LOOKS = 5 // a busy machine paints late
const MUTED = ['ImagePromptAdvise', 'ImagePromptRateInLibrary'] // they refuse to run without what they ask for
const NEVER = 2 // the mode of a muted node

let page, task // of the visit

export async function play(visit) {
  ;({ page, task } = visit)
  const { path, content } = task.catalogue
  writeFileSync(path, content)
  try {
    const templates = {}
    for (const name of Object.keys(task.templates)) templates[name] = await useTemplate(name)
    return { templates, added: await addNodes(), headings: await openHelp() }
  } finally {
    unlinkSync(path)
  }
}

// The first one is opened by its address, and the others in its page, which is faster. Each is run in one renderer; in the
// other it is seen what would be queued.
async function useTemplate(name) {
  const workflow = task.templates[name]
  if (name === Object.keys(task.templates)[0]) {
    await page.goto(task.address, { waitUntil: 'domcontentloaded' })
    const count = workflow.nodes.length
    await page.waitForFunction((count) => window.app?.extensionManager && window.app.graph?.nodes.length === count, count)
  } else {
    await page.evaluate((workflow) => window.app.loadGraphData(workflow), workflow)
  }
  const drawn = await look()
  const before = await save()
  if (task.runs[name] !== task.nodes2)
    return { drawn, before, prompt: await page.evaluate(async () => (await window.app.graphToPrompt()).output) }
  return { drawn, before, ended: await run(page), after: await save() }
}

// The nodes that the open template has not. Two are at its models, and core's node reads what they give.
async function addNodes() {
  await page.evaluate(([types, muted, never]) => {
    const { graph } = window.app
    const add = (type, x, y) => graph.add(Object.assign(window.LiteGraph.createNode(type), { pos: [x, y] }))
    const models = add('ImagePromptLoadModels', 0, 1500)
    const report = add('ImagePromptModelReport', 400, 1500)
    graph.nodes.find((node) => node.type === 'ImagePromptDemoCheckpoint').connect(0, models, 0)
    models.connect(1, add('PreviewAny', 0, 1800), 0)
    report.connect(0, add('PreviewAny', 400, 1800), 0)
    const missing = types.filter((type) => !graph.nodes.some((node) => node.type === type))
    missing.forEach((type, place) => add(type, 400 * place, 2200))
    for (const node of graph.nodes) if (muted.includes(node.type)) node.mode = never
  }, [Object.keys(task.nodes), MUTED, NEVER])
  const ended = await run(page)
  const drawn = await look()
  const after = await save()
  await page.evaluate(() => window.app.loadGraphData(JSON.parse(JSON.stringify(window.app.graph.serialize()))))
  return { ended, drawn, after, again: await look() }
}

// The heading of each node's page, opened as a person does. In the language that has no pages, a few nodes will do.
async function openHelp() {
  const headings = {}
  const panel = page.getByTestId('properties-panel')
  const nodes = [...new Map((await save()).map((node) => [node.type, node])).values()] // one of each type
  for (const { id, type } of task.nodes2 ? nodes.slice(0, task.few) : nodes) {
    await page.evaluate((id) => {
      const { canvas, graph } = window.app
      const node = graph.getNodeById(id)
      canvas.ds.scale = 1
      canvas.ds.offset = [500 - node.pos[0], 250 - node.pos[1]] // its toolbox clear of the bar at the top
      canvas.deselectAll()
      canvas.selectNode(node)
    }, id)
    if (!(await panel.isVisible())) await page.getByTestId('info-button').click()
    const heading = panel.locator('h1', { hasText: task.nodes[type] }) // not that of the node before
    headings[type] = await heading.innerText({ timeout: HELP_MS }).catch(() => null)
  }
  return headings
}

// --------------------------------------------------------------------------------------------------------------- steps

// The pack's nodes as they would be saved.
async function save() {
  const graph = await page.evaluate(() => window.app.graph.serialize())
  return graph.nodes.filter((node) => node.type in task.nodes)
}

// {nodes, texts}: the pack's nodes with their heights in units of the graph, and what there is to read.
async function look() {
  let found
  for (let time = 0; time < LOOKS && !found?.nodes.every((node) => node.drawn); time++) {
    await page.evaluate(() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView'))
    await page.waitForTimeout(500) // the view glides there
    found = task.nodes2 ? await lookAtElements() : await lookAtCanvas()
  }
  return found
}

async function lookAtElements() {
  const scale = await page.evaluate(() => window.app.canvas.ds.scale)
  const found = { nodes: [], texts: [] }
  for (const { id, type } of await save()) {
    const element = page.locator(`[data-node-id="${id}"]`)
    const box = (await element.isVisible()) ? await element.boundingBox() : null
    found.nodes.push({ type, drawn: box !== null, height: box && box.height / scale })
    found.texts.push(await element.innerText())
  }
  return found
}

// On the canvas nodes are pixels, but each can be told when it is painted; above it lie elements with longer texts.
function lookAtCanvas() {
  return page.evaluate(async (types) => {
    const nodes = window.app.graph.nodes.filter((node) => node.type in types)
    const painted = new Set()
    for (const node of nodes) node.onDrawForeground = () => painted.add(node)
    window.app.canvas.setDirty(true, true)
    await new Promise((resolve) => setTimeout(resolve, 100))
    return {
      nodes: nodes.map((node) => ({ type: node.type, drawn: painted.has(node), height: node.size[1] })),
      texts: [...document.querySelectorAll('.dom-widget')].map((each) => each.innerText)
    }
  }, task.nodes)
}
