// The models panel: what the open graph needs, copied, searched, and refreshed after a file was put in its place.
import { copyFileSync, unlinkSync } from 'node:fs'

import { add, clear, focus } from '../../../../devtools/page.mjs'

const TAB = 'Image prompt models'
const CARD_MS = 10000

export async function play({ page, context, task, shot }) {
  await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  await clear(page)
  const ids = await add(page, {
    adapter: { type: 'ImagePromptLoadAdapter', pos: [0, 0], inputs: { adapter_name: task.missing } },
    encoder: { type: 'ImagePromptLoadEncoder', pos: [400, 0], inputs: { encoder_name: task.here } },
    report: { type: 'ImagePromptModelReport', pos: [0, 300] }
  })
  await page.mouse.click(700, 700) // ComfyUI notices changes when the mouse is released
  const tab = page.getByRole('button', { name: TAB, exact: true })
  const badge = tab.locator('.sidebar-icon-badge')
  await badge.filter({ hasText: /^2$/ }).waitFor()
  const seen = {}

  await tab.click()
  const panel = page.locator('[data-panel="image-prompt-models"]')
  await panel.locator('[data-section="missing"]').waitFor({ timeout: CARD_MS })
  seen.needed = await cards(panel, 'workflow')
  const opened = (all) => all.map((each) => [each.dataset.section, each.open])
  seen.sections = await panel.locator('details').evaluateAll(opened)
  await shot('open')

  const mine = panel.locator(`[data-section="workflow"] [data-name="${task.missing}"]`)
  seen.copied = []
  await mine.getByRole('button', { name: 'Copy link' }).click()
  seen.copied.push(await page.evaluate(() => navigator.clipboard.readText()))
  await mine.getByRole('button', { name: 'Copy link' }).press('Tab')
  await page.keyboard.press('Enter')
  seen.copied.push(await page.evaluate(() => navigator.clipboard.readText()))

  await page.keyboard.press('/')
  await page.keyboard.type('kolors faceid')
  seen.searched = await cards(panel, 'missing')
  await shot('searched')
  await page.keyboard.press('Escape')
  seen.emptied = await panel.getByRole('searchbox').inputValue()
  seen.nodes = await page.evaluate(() => window.app.graph.nodes.length) // no key reached the graph

  copyFileSync(task.source, task.target)
  try {
    await panel.getByRole('button', { name: 'Refresh' }).click()
    await panel.locator(`[data-section="workflow"] [data-name="${task.missing}"][data-status="found"]`).waitFor()
    seen.after = await cards(panel, 'workflow')
    seen.lists = await page.evaluate(
      ([id, name]) => window.app.graph.getNodeById(id).widgets.some((each) => each.options.values?.includes?.(name)),
      [ids.adapter, task.missing]
    )
    await page.evaluate((id) => window.app.graph.remove(window.app.graph.getNodeById(id)), ids.adapter)
    await page.mouse.click(900, 700)
    await badge.waitFor({ state: 'detached' })
    await shot('complete')
  } finally {
    unlinkSync(task.target)
  }

  await tab.click()
  await panel.waitFor({ state: 'detached' })
  await focus(page, ids.report)
  await pressButton(page, task, ids.report)
  await panel.waitFor()
  await shot('report')
  await page.evaluate(() => {
    const { command } = window.app.extensionManager
    return command.execute('image-prompt.models', { metadata: { search: 'instantid' } })
  })
  seen.opened = await panel.getByRole('searchbox').inputValue()
  await panel.getByRole('searchbox').fill('')
  await tab.click()
  seen.saved = await page.evaluate(
    (id) => window.app.graph.serialize().nodes.find((node) => String(node.id) === String(id)).widgets_values ?? [],
    ids.report
  )
  return seen
}

function cards(panel, section) {
  const found = panel.locator(`[data-section="${section}"] .ipp-card`)
  return found.evaluateAll((all) => all.map(({ dataset }) => [dataset.name, dataset.status]))
}

// The button on a node: an element of Nodes 2.0, or pixels of the canvas.
async function pressButton(page, task, id) {
  const element = page.locator(`[data-node-id="${id}"]`)
  if (task.nodes2) return element.getByRole('button', { name: 'Show model files' }).click()
  const [x, y] = await page.evaluate((id) => {
    const node = window.app.graph.getNodeById(id)
    const button = node.widgets.find((each) => each.type === 'button')
    return window.app.canvasPosToClientPos([node.pos[0] + node.size[0] / 2, node.pos[1] + button.y + 10])
  }, id)
  await page.mouse.click(x, y)
}
