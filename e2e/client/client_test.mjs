// What the official JavaScript client sees of a running gateway with the sample of embeddings and
// that of chat, where keys are needed.
//
//     node client_test.mjs MODULE http://127.0.0.1:8080/v1 KEY
//
// MODULE is the client's index.mjs.

import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';

const [module, baseURL, apiKey] = process.argv.slice(2);
const { default: OpenAI } = await import(pathToFileURL(module).href);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const stranger = new OpenAI({ baseURL, apiKey: 'sk-chandler-nobody', maxRetries: 0 });
// The likeliest answer each time; of others not all name the capital.
const ask = {
  model: 'chat',
  messages: [
    { role: 'system', content: 'Answer in one short sentence.' },
    { role: 'user', content: 'What is the capital of France?' },
  ],
  temperature: 0,
  max_tokens: 24,
};

async function lists() {
  const listed = await client.models.list();
  assert.deepEqual(listed.data.map((model) => model.id).sort(), ['chat', 'embeddings']);
}

async function embeds() {
  const input = ['A cat sits on the mat.', 'Stocks fell on Monday.'];
  const answer = await client.embeddings.create({ model: 'embeddings', input });
  assert.deepEqual(answer.data.map((item) => item.embedding.length), [384, 384]);
}

async function chats() {
  const answer = await client.chat.completions.create(ask);
  assert.match(answer.choices[0].message.content, /Paris/);
  assert.ok(answer.usage.completion_tokens > 0);
}

// The gateway asks the replica for the usage to count it, and the caller did not.
async function streams() {
  const stream = await client.chat.completions.create({ ...ask, stream: true });
  let text = '';
  for await (const chunk of stream) {
    assert.equal(chunk.choices.length, 1);
    assert.ok(!chunk.usage);
    text += chunk.choices[0].delta.content ?? '';
  }
  assert.match(text, /Paris/);
}

async function tellsTheLimits() {
  const { response } = await client.embeddings
    .create({ model: 'embeddings', input: 'hello' })
    .withResponse();
  assert.equal(response.headers.get('x-ratelimit-limit-requests'), '1000');
  assert.ok(Number(response.headers.get('x-ratelimit-remaining-requests')) < 1000);
}

async function knowsNoStranger() {
  await assert.rejects(stranger.models.list(), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, 'invalid_api_key');
    return true;
  });
}

for (const check of [lists, embeds, chats, streams, tellsTheLimits, knowsNoStranger]) {
  await check();
  console.log(`ok      ${check.name}`);
}
