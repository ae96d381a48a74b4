/**
 * Verifies secured documents with Digital Bazaar's Data Integrity packages.
 *
 * Standard input: {"contexts": {url: path}, "cases": [{"name", "document", "graph"?}]}.
 * Standard output: [{"name", "verified", "error"}], in the same order.
 *
 * Without `graph` a document's RDF is made by jsonld.js, as any user of these packages does. With
 * `graph`, the text of graph.nq, the same packages check everything, except that the RDF is
 * canonicalised from graph.nq by rdf-canonize: jsonld.js writes every xsd:double anew, so a record
 * that holds one has other RDF after a walk through JSON-LD. What such a check has verified is
 * graph.nq, and not the JSON.
 */
import {json} from 'node:stream/consumers';
import {DataIntegrityProof} from '@digitalbazaar/data-integrity';
import {cryptosuite as ecdsa} from '@digitalbazaar/ecdsa-rdfc-2019-cryptosuite';
import {cryptosuite as eddsa} from '@digitalbazaar/eddsa-rdfc-2022-cryptosuite';
import jsigs from 'jsonld-signatures';
import * as rdfCanonize from 'rdf-canonize';
import {offlineLoader} from './loader.mjs';

const {contexts, cases} = await json(process.stdin);
const documentLoader = offlineLoader(contexts);

function reading(cryptosuite, graph) {
  if(graph === undefined) {
    return cryptosuite;
  }
  return {
    ...cryptosuite,
    // Called for the document and for the proof configuration, which goes its usual way.
    async canonize(input, options) {
      if(input.type === 'DataIntegrityProof') {
        return cryptosuite.canonize(input, options);
      }
      return rdfCanonize.canonize(
        graph, {algorithm: 'RDFC-1.0', inputFormat: 'application/n-quads'});
    }
  };
}

async function verify({name, document, graph}) {
  const {verified, error} = await jsigs.verify(document, {
    suite: [eddsa, ecdsa].map(each => new DataIntegrityProof({cryptosuite: reading(each, graph)})),
    purpose: new jsigs.purposes.AssertionProofPurpose(),
    documentLoader
  });
  const messages = (error?.errors ?? (error ? [error] : [])).map(each => each.message);
  return {name, verified, error: messages.join('; ')};
}

const results = [];
for(const each of cases) {
  results.push(await verify(each));
}
process.stdout.write(JSON.stringify(results));
