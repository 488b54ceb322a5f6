// node-vault does what its users do; see clients.rs for what becomes of what is printed.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const nodeVault = require('node-vault');

const [address, area, roleId, secretId] = process.argv.slice(2);
// Node keeps connections by itself from version 19 on.
const requestOptions = { httpAgent: new http.Agent({ keepAlive: true }) };
if (process.env.CA) requestOptions.agentOptions = { ca: fs.readFileSync(process.env.CA), keepAlive: true };
const connect = (more) => nodeVault({ endpoint: address, token: process.env.TOKEN, requestOptions, ...more });

async function step(name, work) {
  let value;
  try {
    value = await work();
  } catch (error) {
    value = [error.constructor.name, error.message, error.response && error.response.statusCode, error.response && error.response.body];
  }
  // console.log would take the percent sign of a name for a format.
  process.stdout.write(`${name} ${JSON.stringify(value)}\n`);
}
const aside = (value) => {
  console.log('~', JSON.stringify(value));
  return value;
};
const size = (text) => [text.length, crypto.createHash('sha256').update(text).digest('hex')];
const path = (...names) => names.map((name) => name.split('/').map(encodeURIComponent).join('/')).join('/');

async function main() {
  const client = connect();
  if (area === 'steady') {
    const seen = new Set();
    for (let n = 0; n < 50; n += 1) seen.add((await client.read('plain/steady')).data.n);
    console.log([...seen]);
    return;
  }

  // KV version 2
  await step('write', async () => (await client.write(`secret/data/${area}/app`, { data: { color: 'blue' } })).data.version);
  await step('cas', () => client.write(`secret/data/${area}/app`, { data: { color: 'red' }, options: { cas: 7 } }));
  await step('patch', async () => (await client.update(`secret/data/${area}/app`, { data: { size: 7 } })).data.version);
  await step('read', async () => (await client.read(`secret/data/${area}/app`)).data.data);
  await step('first', async () => (await client.read(`secret/data/${area}/app?version=1`)).data.data);
  await step('list', async () => (await client.list(`secret/metadata/${area}`)).data.keys);
  await step('list by query', async () => (await connect({ noCustomHTTPVerbs: true }).list(`secret/metadata/${area}`)).data.keys);
  await step('delete', () => client.delete(`secret/data/${area}/app`));
  await step('deleted', async () => {
    try {
      return await client.read(`secret/data/${area}/app`);
    } catch (error) {
      return [error.response.statusCode, error.response.body.data.data];
    }
  });
  await step('destroy', () => client.delete(`secret/metadata/${area}/app`));

  // KV version 1
  await step('write 1', () => client.write(`plain/${area}/app`, { n: 1.5 }));
  await step('read 1', async () => (await client.read(`plain/${area}/app`)).data);
  await step('list 1', async () => (await client.list(`plain/${area}`)).data.keys);
  await step('delete 1', () => client.delete(`plain/${area}/app`));
  await step('gone 1', () => client.read(`plain/${area}/app`));

  // Names
  const names = ['with space', 'ünï/日本', 'per%cent', 'a+b', 'q?x=1#y', 'semi;colon', 'tilde~', 'quote\'"', 'dot.dot', 'back\\slash'];
  for (const name of names) {
    await step(`name ${name}`, () => client.write(path('plain', area, 'names', name), { name }));
    await step('name back', async () => (await client.read(path('plain', area, 'names', name))).data);
  }
  await step('a slash escaped', () => client.write(`plain/${area}/names/escaped%2Fslash`, { name: 'slash' }));
  await step('a slash back', async () => (await client.read(`plain/${area}/names/escaped/slash`)).data);
  await step('names', async () => (await client.list(`plain/${area}/names`)).data.keys);

  // Logins
  const login = (await connect().approleLogin({ role_id: roleId, secret_id: secretId })).auth;
  await step('login', async () => {
    const own = connect({ token: login.client_token });
    return [login.token_policies, (await own.tokenLookupSelf()).data.id === login.client_token];
  });
  await step('login, wrong', () => connect().approleLogin({ role_id: roleId, secret_id: 'wrong' }));
  // A client takes over each token that it makes.
  const child = connect({ token: (await connect().tokenCreate({ ttl: '1h', policies: ['client'] })).auth.client_token });
  await step('child', async () => (await child.list('secret/metadata')).data.keys.length > 0);
  await step('child ends', () => child.tokenRevokeSelf());
  await step('child ended', () => child.tokenLookupSelf());
  await step('self', async () => aside(await client.tokenLookupSelf()).data.policies);
  await step('renew', async () => aside(await client.tokenRenewSelf()).auth.policies);

  // Wrapping
  const wrapped = (await client.request({ ...requestOptions, path: '/sys/wrapping/wrap', method: 'POST', json: { inside: 'it' }, headers: { 'X-Vault-Wrap-TTL': '60s' } })).wrap_info;
  await step('wrap', async () => [wrapped.ttl, (await connect({ token: wrapped.token }).unwrap()).data]);
  await step('wrap, again', () => connect({ token: wrapped.token }).unwrap());
  await client.write(`plain/${area}/wrapped`, { color: 'blue' });
  const answer = await client.read(`plain/${area}/wrapped`, { headers: { 'X-Vault-Wrap-TTL': '60s' } });
  await step('wrapped', async () => [answer.data, (await client.unwrap({ token: answer.wrap_info.token })).data]);

  // Errors
  await step('404', () => client.read(`secret/data/${area}/none`));
  await step('403', () => connect({ token: 's.bogus' }).read('plain/x'));
  await step('400', () => client.write(`secret/data/${area}/x`, { no: 'data' }));
  await step('no route', () => client.read('nowhere/at/all'));
  await step('help', async () => Object.keys(await client.help('sys/mounts')));

  // Namespace
  const team = connect({ namespace: 'team' });
  await step('namespace', () => team.write(`own/${area}/app`, { of: 'team' }));
  await step('namespace back', async () => (await team.read(`own/${area}/app`)).data);
  await step('by path', async () => (await client.read(`team/own/${area}/app`)).data);
  await step('no namespace', () => connect({ namespace: 'none' }).read('own/app'));

  // HEAD, and what needs no token
  await step('head', () => client.request({ ...requestOptions, path: '/sys/health', method: 'HEAD' }));
  await step('health', async () => (await client.health()).sealed);
  await step('initialized', () => client.initialized());

  // Size
  const large = {};
  for (let n = 0; n < 10; n += 1) large[`k${n}`] = 'x'.repeat(500000);
  await step('5 MB up', () => client.write(`plain/${area}/large`, large));
  await step('5 MB down', async () => size(JSON.stringify((await client.read(`plain/${area}/large`)).data)));

  // Many at a time
  const many = [...Array(100).keys()];
  await step('many', async () => (await Promise.all(many.map((n) => client.write(`plain/${area}/many/${n}`, { n })))).length);
  await step('many, listed', async () => (await client.list(`plain/${area}/many`)).data.keys.length);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
