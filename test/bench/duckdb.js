// Loads a CSV file into a table "source" in memory, and runs the queries on
// standard input: lines "threads<tab>name<tab>query".  Prints for each its name,
// the seconds that it takes, and the number of its rows.  Each query is run once
// before it is measured.  Its rows are computed and not looked at: they are
// fetched chunk by chunk, or kept by DuckDB as a whole, whichever is faster.

const { DuckDBInstance } = require('@duckdb/node-api');
const fs = require('fs');

async function stream(connection, query) {
	const result = await connection.stream(query);
	let rows = 0;

	for (;;) {
		const chunk = await result.fetchChunk();
		if (!chunk || chunk.rowCount === 0)
			return rows;
		rows += chunk.rowCount;
	}
}

async function keep(connection, query) {
	return (await connection.run(query)).rowCount;
}

async function main() {
	const instance = await DuckDBInstance.create(':memory:');
	const connection = await instance.connect();

	await connection.run(`CREATE TABLE source AS SELECT * FROM read_csv('${process.argv[2]}')`);
	for (const line of fs.readFileSync(0, 'utf8').trim().split('\n')) {
		const [threads, name, query] = line.split('\t');
		let least = Infinity, rows;

		await connection.run(`SET threads = ${threads}`);
		await stream(connection, query);
		for (const way of [stream, keep]) {
			const began = process.hrtime.bigint();
			rows = await way(connection, query);
			least = Math.min(least, Number(process.hrtime.bigint() - began) / 1e9);
		}
		console.log(`${name}\t${least}\t${rows}`);
	}
}

main();
