// Pictures dropped on nodes: a file, several, one of a gallery, and what is no picture.
import { add, clear, focus } from '../../../../devtools/page.mjs'

let page, task

export async function play(visit) {
  ;({ page, task } = visit)
  await clear(page)
  const ids = await add(page, {
    vision: { type: 'ImagePromptLoadEncoder', pos: [-1500, 0] },
    encode: { type: 'ImagePromptEncode', pos: [0, 0] },
    combine: { type: 'ImagePromptCombine', pos: [1200, 0], inputs: { features_1: ['encode', 0] } },
    references: { type: 'ImagePromptApplyReferences', pos: [1600, 900] },
    apply: { type: 'ImagePromptApply', pos: [1600, 1500], inputs: {} }
  })
  await page.evaluate(([from, to]) => {
    const node = (id) => window.app.graph.getNodeById(id)
    node(from).connect(0, node(to), node(to).findInputSlot('clip_vision'))
  }, [ids.vision, ids.encode])
  await focus(page, ids.encode) // Nodes 2.0 has sized the nodes
  await page.evaluate(() => {
    window.app.canvas.emitBeforeChange()
    window.app.canvas.emitAfterChange() // what is there is the step to which undo goes back
  })
  const started = await count()

  const seen = {}
  await drop(ids.encode, { files: ['one.png'] })
  seen.encode = await behind(ids.encode)
  await focus(page, ids.encode, 0.6)
  await page.waitForFunction(() => window.app.graph.nodes.some((node) => node.imgs?.[0]?.naturalWidth))
  await page.waitForTimeout(300) // what the picture changes of the node's size is drawn
  await visit.shot('encode')
  await page.keyboard.press('Control+z', { delay: 100 })
  await page.waitForFunction((count) => window.app.graph.nodes.length === count, started)
  seen.undone = await behind(ids.encode)
  await page.keyboard.press('Control+y', { delay: 100 })
  await page.waitForFunction((count) => window.app.graph.nodes.length === count, started + 1)
  await drop(ids.encode, { files: ['two.png'] }) // in place of the first
  seen.again = { picture: await behind(ids.encode), nodes: (await count()) - started }

  await drop(ids.combine, { asset: { filename: 'made.png', subfolder: 'here', type: 'output' } })
  await drop(ids.combine, { files: ['three.png', 'four.png'] })
  seen.combine = await behind(ids.combine)
  await drop(ids.references, { link: `${task.url}/api/view?filename=grace_hopper.jpg&type=input` })
  seen.references = await behind(ids.references)
  seen.covered = await covered()
  seen.selected = await page.evaluate(() => Object.values(window.app.canvas.selected_nodes).map((node) => node.type))
  await focus(page, ids.combine, 0.4)
  await visit.shot('combine')

  const before = await count()
  seen.refused = [
    await drop(ids.apply, { files: ['graph.json'] }, false),
    await drop(ids.apply, { link: 'https://example.org/view?filename=a.png' }, false)
  ]
  await page.evaluate(() => window.app.extensionManager.setting.set('image-prompt.drops', false))
  seen.refused.push(await drop(ids.apply, { files: ['one.png'] }, false))
  await page.evaluate(() => window.app.extensionManager.setting.set('image-prompt.drops', true))
  seen.refused.push((await count()) - before)
  return seen
}

function count() {
  return page.evaluate(() => window.app.graph.nodes.length)
}

// Drag something over a node and let it go there, as the page is told of it. Whether the node would take it, and does.
async function drop(id, { files = [], asset, link }, whole = true) {
  await focus(page, id)
  return page.evaluate(
    async ([id, files, asset, link, nodes2, whole]) => {
      const node = window.app.graph.getNodeById(id)
      const png = await (await fetch('/api/view?filename=astronaut.jpg&type=input')).blob()
      const data = new DataTransfer()
      for (const name of files)
        data.items.add(new File([png], name, { type: name.endsWith('.json') ? 'application/json' : 'image/png' }))
      if (asset) data.setData('application/x-comfy-asset-info', JSON.stringify(asset))
      if (link) data.setData('text/uri-list', link)
      const [x, y] = window.app.canvas.ds.convertOffsetToCanvas([node.pos[0] + 60, node.pos[1] - 10])
      const on = nodes2 ? document.querySelector(`[data-node-id="${id}"]`) : window.app.canvas.canvas
      const at = { bubbles: true, cancelable: true, dataTransfer: data, clientX: x, clientY: y }
      if (!whole) return node.onDragOver(new DragEvent('dragover', at)) && node.onDragDrop(new DragEvent('drop', at))
      const before = node.onDragDrop
      const done = new Promise((resolve) => {
        node.onDragDrop = (event) => {
          const answer = before(event)
          Promise.resolve(answer).then(resolve)
          return answer
        }
      })
      on.dispatchEvent(new DragEvent('dragover', at))
      on.dispatchEvent(new DragEvent('drop', at))
      const answer = await done
      node.onDragDrop = before
      return answer
    },
    [id, files, asset, link, task.nodes2, whole]
  )
}

// What is wired to each socket of a node, and behind it: [types from the node to the picture, its name, the encoder's].
function behind(id) {
  return page.evaluate((id) => {
    const found = {}
    const { graph } = window.app
    for (const [index, input] of graph.getNodeById(id).inputs.entries()) {
      let node = graph.getNodeById(id).getInputNode(index)
      if (!node || input.name === 'clip_vision') continue
      const types = []
      let vision
      for (; node; node = node.getInputNode(Math.max(node.findInputSlot('image'), node.findInputSlot('features')))) {
        types.push(node.type)
        vision ??= node.getInputNode(node.findInputSlot('clip_vision'))?.type
        if (node.type === 'LoadImage') break
      }
      found[input.name] = { types, picture: node?.widgets[0].value, vision }
    }
    return found
  }, id)
}

// Pairs of nodes that lie on each other.
function covered() {
  return page.evaluate(() => {
    const boxes = window.app.graph.nodes.map((node) => [node.type, node.pos[0], node.pos[1] - 30, node.size[0], node.size[1] + 30])
    return boxes.flatMap(([one, x, y, width, height], index) =>
      boxes
        .slice(index + 1)
        .filter(([, left, top, wide, high]) => x < left + wide && left < x + width && y < top + high && top < y + height)
        .map(([two]) => [one, two])
    )
  })
}
