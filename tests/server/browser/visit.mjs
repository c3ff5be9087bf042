// A person's visit in one renderer: every scenario that the task names, in turn, in one page. What was seen is written
// as JSON, {scenarios, complaints, outside}; conftest.py starts it, and the tests judge.
import { text } from 'node:stream/consumers'

import { PACK, enter, listen, open, tidy } from '../../../devtools/page.mjs'

const task = JSON.parse(await text(process.stdin))
const { browser, context, page } = await open(task)
const complaints = listen(page, PACK)
const outside = []
page.on('request', (request) => {
  if (!request.url().startsWith(task.url) && !/^(data|blob):/.test(request.url())) outside.push(request.url())
})
const scenarios = {}
try {
  await enter(page, task)
  for (const [name, given] of Object.entries(task.scenarios)) scenarios[name] = await play(name, given)
  console.log(JSON.stringify({ scenarios, complaints, outside }))
} finally {
  await browser.close()
}

// One that fails leaves its picture and its error, and a fresh page for the next.
async function play(name, given) {
  const shot = (what) => page.screenshot({ path: `${task.pictures}/${name}-${what}.png` })
  const started = Date.now()
  try {
    await tidy(page)
    const { play } = await import(`./scenarios/${name}.mjs`)
    return await play({ page, context, task: { ...task, ...given }, shot })
  } catch (error) {
    await shot('failed').catch(() => {})
    await enter(page, task)
    return { failed: String(error?.stack ?? error) }
  } finally {
    console.error(`${name}: ${((Date.now() - started) / 1000).toFixed(1)} s`)
  }
}
