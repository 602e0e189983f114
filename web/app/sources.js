/* sources.js - what several views watch, named once so that they share it. */
import { tabique } from './api.js';
import { useLive } from './live.js';

export const useContainers = () => useLive('containers', tabique.containers, { interval: 2500, topic: { topic: 'containers' } });
export const useInfo = () => useLive('info', tabique.info, { interval: 10000 });
