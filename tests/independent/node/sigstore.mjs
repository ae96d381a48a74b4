/**
 * Verifies Sigstore bundles that are signed with a key, with the packages of sigstore-js.
 *
 * Standard input: [{"name", "bundle", "keys": {hint: PEM}}].
 * Standard output: [{"name", "verified", "error", "payloadType", "payload"}], the payload in base64.
 *
 * Nothing is fetched: the key is given, and neither an entry of a transparency log nor a timestamp
 * is asked for, since the bundle's own ledger takes their place.
 */
import {json} from 'node:stream/consumers';
import {bundleFromJSON} from '@sigstore/bundle';
import {toSignedEntity, toTrustMaterial, Verifier} from '@sigstore/verify';

const NOBODY = {
  mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
  certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: []
};

function verify({name, bundle, keys}) {
  try {
    const trusted = Object.fromEntries(
      Object.entries(keys).map(([hint, pem]) => [hint, {rawBytes: pem}]));
    const verifier = new Verifier(
      toTrustMaterial(NOBODY, trusted),
      {ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 0});
    const parsed = bundleFromJSON(bundle);
    verifier.verify(toSignedEntity(parsed));
    const {payload, payloadType} = parsed.content.dsseEnvelope;
    return {name, verified: true, error: '', payloadType, payload: payload.toString('base64')};
  } catch(error) {
    return {name, verified: false, error: `${error.name}: ${error.message}`};
  }
}

process.stdout.write(JSON.stringify((await json(process.stdin)).map(verify)));
