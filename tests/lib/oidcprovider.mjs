// A real OpenID Connect issuer (the package oidc-provider) on loopback, for tests.
//
// node oidcprovider.mjs NODE_MODULES KEY.pem CERT.pem   prints its address; the process is ended to stop it.
//
// One confidential client, "cairn", gets tokens with the grant client_credentials: JWTs signed with RS256, for the audience "cairn",
// good for the seconds that the parameter `resource` ends with: urn:cairn:60. The certificate stands beside the key in its list of
// keys, because some token services compare its thumbprint.
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, keyFile, certFile] = process.argv.slice(2);
const main = createRequire(`${modules}/`).resolve('oidc-provider');
const { default: Provider } = await import(pathToFileURL(main));

const key = createPrivateKey(readFileSync(keyFile)).export({ format: 'jwk' });
const x5c = readFileSync(certFile, 'utf8').replace(/-----[^-]+-----|\s/g, '');

const server = createServer();
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const url = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(url, {
  clients: [{
    client_id: 'cairn', client_secret: 'secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
  }],
  jwks: { keys: [{ ...key, kid: 'k1', use: 'sig', alg: 'RS256', x5c: [x5c] }] },
  scopes: ['s3'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:cairn:600',
      getResourceServerInfo: (ctx, resource) => ({
        audience: 'cairn', scope: 's3', accessTokenFormat: 'jwt', accessTokenTTL: Number(resource.split(':')[2]),
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});
server.on('request', provider.callback());
console.log(url);
