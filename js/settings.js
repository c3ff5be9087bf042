// @ts-check
// What the pack adds to ComfyUI's settings, menu and page "About".
import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'

import { DROPS, VIEWS } from './lib/settings.mjs'
import { addStarter } from './settings/starter.mjs'

const STARTER = 'image-prompt.starter'
const PAGE = 'https://github.com/image-prompt/image-prompt'

/** The version of the pack; empty if the server does not say it. */
async function version() {
  try {
    return (await (await api.fetchApi('/image-prompt/version')).json()).version ?? ''
  } catch {
    return ''
  }
}

app.registerExtension({
  name: 'image-prompt.settings',

  aboutPageBadges: [{ label: `Image Prompt ${await version()}`.trim(), url: PAGE, icon: 'pi pi-images' }],
  commands: [
    { id: STARTER, label: 'Image Prompt: add the nodes of a first image prompt', icon: 'pi pi-plus', function: addStarter }
  ],
  menuCommands: [{ path: ['Extensions', 'Image Prompt'], commands: [STARTER] }],

  settings: [
    {
      id: /** @type {any} */ (VIEWS),
      category: ['Image Prompt', 'Nodes', 'Views'],
      name: 'Show views on the nodes',
      tooltip: 'Pictures, curves and bars below the inputs. It holds for nodes that are added or opened from now on.',
      type: 'boolean',
      defaultValue: true
    },
    {
      id: /** @type {any} */ (DROPS),
      category: ['Image Prompt', 'Nodes', 'Drops'],
      name: 'Load pictures that are dropped on nodes',
      tooltip: 'A picture dropped on a node is loaded, encoded where needed, and wired to its first free socket.',
      type: 'boolean',
      defaultValue: true
    }
  ]
})
