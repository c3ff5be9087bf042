// The colours of the pack's sockets, and sockets that grow: wired, saved, loaded, copied, and taken away again.
import { add, clear, focus } from '../../../../devtools/page.mjs'

let page

export async function play(visit) {
  ;({ page } = visit)
  await clear(page)
  const ids = await add(page, {
    first: { type: 'ImagePromptReference', pos: [0, 0] },
    second: { type: 'ImagePromptReference', pos: [0, 600] },
    layers: { type: 'ImagePromptLayerWeights', pos: [-400, 0] },
    steps: { type: 'ImagePromptStepWeights', pos: [-400, 450] },
    adapter: { type: 'ImagePromptLoadAdapter', pos: [0, -150] },
    face: { type: 'ImagePromptFaceAnalyserLoader', pos: [400, -150] },
    record: { type: 'ImagePromptRecordInfluence', pos: [400, 300] },
    apply: { type: 'ImagePromptApplyReferences', pos: [400, 0] }
  })
  const palette = await setting('Comfy.ColorPalette')
  const colors = { dark: await colorsOf(visit.task) }
  await wire(ids, [
    ['layers', 'first', 'layer_weights'],
    ['steps', 'first', 'step_weights'],
    ['adapter', 'apply', 'adapter'],
    ['first', 'apply', 'references.reference_0'],
    ['second', 'apply', 'references.reference_1']
  ])
  await focus(page, ids.first, 0.7)
  await visit.shot('colors')
  const grown = { wired: await sockets(ids.apply) }
  await page.evaluate(() => window.app.loadGraphData(JSON.parse(JSON.stringify(window.app.graph.serialize()))))
  grown.loaded = await sockets(ids.apply)
  grown.copied = await sockets(await copied(Object.values(ids), 'ImagePromptApplyReferences', ids.apply))
  await page.evaluate((id) => {
    const node = window.app.graph.getNodeById(id)
    node.disconnectInput(node.findInputSlot('references.reference_0'))
  }, ids.apply)
  await page.waitForTimeout(200)
  grown.shrunk = await sockets(ids.apply)
  await chosen('Comfy.ColorPalette', 'light')
  colors.light = await colorsOf(visit.task)
  await visit.shot('light')
  await chosen('Comfy.ColorPalette', palette)
  return { colors, grown }
}

function setting(id) {
  return page.evaluate((id) => window.app.extensionManager.setting.get(id), id)
}

async function chosen(id, value) {
  await page.evaluate(([id, value]) => window.app.extensionManager.setting.set(id, value), [id, value])
  await page.waitForTimeout(400) // the palette is loaded later
}

// {type: color} of the types that a script may have coloured, as the renderer has them.
function colorsOf({ nodes2, types }) {
  return page.evaluate(
    ([nodes2, types]) => {
      const { canvas } = window.app
      const ofElements = getComputedStyle(document.documentElement)
      const color = (type) =>
        nodes2 ? ofElements.getPropertyValue(`--color-datatype-${type}`).trim() : canvas.default_connection_color_byType[type]
      return Object.fromEntries(types.map((type) => [type, { slot: color(type), link: canvas.constructor.link_type_colors[type] }]))
    },
    [nodes2, types]
  )
}

function wire(ids, wires) {
  return page.evaluate(
    ([ids, wires]) => {
      const node = (name) => window.app.graph.getNodeById(ids[name])
      for (const [from, to, input] of wires) node(from).connect(0, node(to), node(to).findInputSlot(input))
    },
    [ids, wires]
  )
}

// The sockets of references, and what each is wired to.
function sockets(id) {
  return page.evaluate((id) => {
    const node = window.app.graph.getNodeById(id)
    return Object.fromEntries(
      node.inputs
        .filter((input) => input.name.startsWith('references.'))
        .map((input) => [input.name, node.getInputNode(node.inputs.indexOf(input))?.type ?? null])
    )
  }, id)
}

// Copy nodes and paste them, as by the keyboard; the id of the new node of a type.
function copied(ids, type, old) {
  return page.evaluate(
    async ([ids, type, old]) => {
      const { canvas, graph } = window.app
      canvas.deselectAll()
      canvas.selectItems(ids.map((id) => graph.getNodeById(id)))
      canvas.copyToClipboard()
      canvas.pasteFromClipboard()
      await new Promise((resolve) => setTimeout(resolve, 200))
      return graph.nodes.find((node) => node.type === type && node.id !== old).id
    },
    [ids, type, old]
  )
}
