// What nodes say of a run and what is wrong with them: a wrong adapter, its fix, a cached run, a graph that is opened
// again, a file that is not there, values that do not fit, and a file to download.
import { unlinkSync, writeFileSync } from 'node:fs'

import { add, clear, focus, run, set, values } from '../../../../devtools/page.mjs'

const STEP_MS = 50
const STRIP = 'image_prompt_notices'
const CORE_TEXT = '$$node-text-preview'

let page, task, shot

export async function play(visit) {
  ;({ page, task, shot } = visit)
  await visit.context.grantPermissions(['clipboard-read', 'clipboard-write'])
  await clear(page)
  const { encoder, adapter, image, encode, model, apply } = task.nodes
  const ids = await add(page, { encoder, adapter, image, encode, model, apply, sink: task.nodes.sink })
  await page.waitForTimeout(300) // until Nodes 2.0 has laid them out
  const seen = { saved: { before: await saved() } }

  seen.wrong = { ended: await run(page), notice: await strip(ids.apply) }
  await focus(page, ids.apply)
  seen.wrong.box = await boxes(ids.apply)
  await shot('wrong')
  seen.saved.wrong = await saved()
  await press(ids.apply, 0)
  seen.used = { value: (await values(page, ids.adapter)).adapter_name, notice: await strip(ids.apply) }
  await page.keyboard.press('Control+z')
  await page.waitForFunction(([id, value]) => valueOf(id) === value, [ids.adapter, task.wrong])
  seen.undone = await strip(ids.apply)
  await set(page, ids.adapter, 'adapter_name', task.right)

  seen.ran = { ended: await run(page), ...(await said(ids)) }
  await focus(page, ids.adapter, 0.7)
  await shot('said')
  seen.saved.ran = await saved()
  await page.evaluate(() => window.app.loadGraphData(JSON.parse(JSON.stringify(window.app.graph.serialize())), false))
  seen.loaded = await said(ids) // as undo does it
  await page.evaluate(() => {
    return window.app.loadGraphData(JSON.parse(JSON.stringify(window.app.graph.serialize())))
  })
  seen.emptied = await said(ids)
  seen.cached = { ended: await run(page), ...(await said(ids)) }

  await set(page, ids.adapter, 'adapter_name', task.missing)
  writeFileSync(task.catalogue.path, task.catalogue.content)
  try {
    seen.missing = await refused(ids.adapter, (found) => found.buttons.length)
    await page.evaluate(() => window.app.loadGraphData(JSON.parse(JSON.stringify(window.app.graph.serialize()))))
    seen.opened = await strip(ids.adapter, (found) => found.buttons.length)
  } finally {
    unlinkSync(task.catalogue.path)
  }
  await focus(page, ids.adapter)
  await shot('missing')
  await press(ids.adapter, 0, 'Enter')
  seen.found = { value: (await values(page, ids.adapter)).adapter_name, notice: await strip(ids.adapter) }

  await set(page, ids.apply, 'start', 0.8)
  await set(page, ids.apply, 'end', 0.2)
  seen.refused = await refused(ids.apply, () => true)
  await set(page, ids.apply, 'end', 1)
  await page.mouse.click(700, 500) // ComfyUI looks for changes after a click
  seen.fitting = await strip(ids.apply, (found) => !found.notice)

  await clear(page)
  const more = await add(page, { model, models: task.nodes.models, sink: task.nodes.sinkOfModels })
  seen.absent = { ended: await run(page), notice: await strip(more.models) }
  await focus(page, more.models)
  await shot('absent')
  await press(more.models, 0)
  seen.absent.copied = await page.evaluate(() => navigator.clipboard.readText())
  return seen
}

// ----------------------------------------------------------------------------------------------------------------- steps

// {notice, title, buttons, said} of a node, once it is as it should be or two seconds have passed.
async function strip(id, isRight = () => true) {
  let found
  for (let time = 0; time < 40 && !(found && isRight(found)); time++) {
    if (time) await page.waitForTimeout(STEP_MS)
    found = await page.evaluate(
      ([id, name, core]) => {
        window.valueOf = (id) => window.app.graph.getNodeById(id)?.widgets[0]?.value
        const { widgets } = window.app.graph.getNodeById(id)
        const view = widgets.find((widget) => widget.name === name)?.element
        const notice = view?.querySelector('.image-prompt-notice:not([hidden])')
        return {
          notice: notice?.querySelector('span')?.textContent ?? '',
          title: notice?.title ?? '',
          buttons: [...(notice?.querySelectorAll('button') ?? [])].map((each) => each.textContent),
          said: view?.querySelector('.image-prompt-said:not([hidden])')?.title ?? '',
          core: widgets.some((widget) => widget.name === core),
          isLast: !view || widgets.at(-1).name === name
        }
      },
      [id, STRIP, CORE_TEXT]
    )
  }
  return found
}

async function said(ids) {
  await page.waitForTimeout(2 * STEP_MS)
  const found = { core: false, isLast: true }
  for (const name of ['encoder', 'adapter', 'apply']) {
    const { said, core, isLast } = await strip(ids[name])
    found[name] = said
    found.core ||= core
    found.isLast &&= isLast
  }
  return found
}

// Where a node and its strip are on the screen: the strip must lie inside.
function boxes(id) {
  return page.evaluate(
    ([id, name]) => {
      const { canvas, graph } = window.app
      const node = graph.getNodeById(id)
      const strip = node.widgets.find((widget) => widget.name === name).element.getBoundingClientRect()
      const rect = canvas.canvas.getBoundingClientRect()
      const { scale, offset } = canvas.ds
      const [left, top] = [0, 1].map((axis) => [rect.left, rect.top][axis] + (node.pos[axis] + offset[axis]) * scale)
      const drawn = document.querySelector(`[data-node-id="${id}"]`)?.getBoundingClientRect()
      return {
        node: [left, top, drawn?.right ?? left + node.size[0] * scale, drawn?.bottom ?? top + node.size[1] * scale],
        strip: [strip.left, strip.top, strip.right, strip.bottom]
      }
    },
    [id, STRIP]
  )
}

// Use a button of a notice, by mouse or by a key.
async function press(id, place, key) {
  await focus(page, id)
  const strip = await page.evaluateHandle(
    ([id, name]) => window.app.graph.getNodeById(id).widgets.find((widget) => widget.name === name).element,
    [id, STRIP]
  )
  const button = (await strip.asElement().$$('.image-prompt-notice button'))[place]
  if (key) await button.press(key)
  else await button.click()
  await page.waitForTimeout(100)
}

async function refused(id, isRight) {
  await page.getByTestId('queue-button').click()
  return strip(id, (found) => found.notice && isRight(found))
}

// The pack's nodes as they would be saved.
async function saved() {
  const { nodes } = await page.evaluate(() => window.app.graph.serialize())
  return nodes
    .filter(({ type }) => type.startsWith('ImagePrompt'))
    .map(({ id, size, widgets_values }) => ({ id, size: size.map(Math.round), widgets_values }))
}
