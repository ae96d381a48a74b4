/**
 * A document loader that knows the packaged contexts and did:key, and fetches nothing.
 *
 * A did:key names its own key, so its document is written here from the name alone (the did:key
 * method, section 3.1; Controlled Identifiers 1.0, section 2.2.2 for Multikey).
 */
import {readFileSync} from 'node:fs';

const DID_CONTEXT = 'https://www.w3.org/ns/did/v1';
const MULTIKEY_CONTEXT = 'https://w3id.org/security/multikey/v1';

/** @param {Record<string, string>} contexts - the file that holds each context, by its URL. */
export function offlineLoader(contexts) {
  const documents = Object.fromEntries(
    Object.entries(contexts).map(([url, path]) => [url, JSON.parse(readFileSync(path, 'utf8'))]));
  return async function load(url) {
    const document = documents[url] ?? didKeyDocument(url);
    if(document === undefined) {
      throw new Error(`not packaged, and nothing is fetched: ${url}`);
    }
    return {contextUrl: null, documentUrl: url, document};
  };
}

function didKeyDocument(url) {
  const [did, fragment] = url.split('#');
  const publicKeyMultibase = did.replace(/^did:key:/, '');
  if(did === publicKeyMultibase) {
    return undefined;
  }
  const id = `${did}#${publicKeyMultibase}`;
  if(fragment === undefined) {
    return {'@context': DID_CONTEXT, id: did, assertionMethod: [id]};
  }
  if(url !== id) {
    return undefined;
  }
  return {'@context': MULTIKEY_CONTEXT, id, type: 'Multikey', controller: did, publicKeyMultibase};
}
