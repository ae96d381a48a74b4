/**
 * Canonicalises N-Quads with rdf-canonize (RDFC-1.0).
 *
 * Standard input: [N-Quads text, …]; standard output: [canonical N-Quads text, …].
 */
import {json} from 'node:stream/consumers';
import * as rdfCanonize from 'rdf-canonize';

const results = [];
for(const text of await json(process.stdin)) {
  results.push(await rdfCanonize.canonize(
    text, {algorithm: 'RDFC-1.0', inputFormat: 'application/n-quads'}));
}
process.stdout.write(JSON.stringify(results));
