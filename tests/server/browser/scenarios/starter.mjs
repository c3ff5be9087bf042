// The command that adds the nodes of a first image prompt, from the menu's list, and the badge with the version.
import { PACK, add, clear } from '../../../../devtools/page.mjs'

const TEMPLATE = `**/workflow_templates/${PACK}/One_reference_SD1.5.json`

export async function play({ page, context, shot }) {
  const execute = () => page.evaluate(() => window.app.extensionManager.command.execute('image-prompt.starter'))
  await clear(page)
  const ids = await add(page, {
    checkpoint: { type: 'CheckpointLoaderSimple', pos: [0, 0] },
    sampler: { type: 'KSampler', pos: [700, 0], inputs: { model: ['checkpoint', 0] } }
  })
  await execute()
  await page.evaluate(() => {
    window.app.canvas.deselectAll()
    return window.app.extensionManager.command.execute('Comfy.Canvas.FitView')
  })
  await page.waitForTimeout(500)
  await shot('added')
  const seen = { chain: await page.evaluate(chain, ids.sampler) }
  seen.commands = await page.evaluate(() =>
    window.app.extensionManager.command.commands.map(({ id }) => id).filter((id) => id.startsWith('image-prompt.'))
  )
  await clear(page)
  await context.route(TEMPLATE, withoutModels)
  await execute()
  await page.waitForFunction(() => window.app.graph.nodes.length > 5)
  seen.template = await page.evaluate(() => window.app.graph.nodes.map(({ type }) => type))
  await context.unroute(TEMPLATE)
  seen.badge = await page.evaluate(
    () => window.app.extensions.find(({ name }) => name === 'image-prompt.settings').aboutPageBadges[0].label
  )
  return seen
}

// ComfyUI asks other hosts how large the files are that a template names.
async function withoutModels(route) {
  const graph = await (await route.fetch()).json()
  for (const node of graph.nodes) delete node.properties?.models
  await route.fulfill({ json: graph })
}

// The types of the nodes through which a sampler gets its model, from it to the loader.
function chain(id) {
  const types = []
  for (let node = window.app.graph.getNodeById(id); node; node = node.getInputNode(node.findInputSlot('model')))
    types.push(node.type)
  return types
}
