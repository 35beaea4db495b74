// Mercurius with JIT as its documentation teaches it: a resolver for each root field, a loader for each relation, so that any
// document of the schema is answered. Loaders run once for all objects of a level; their own cache is off, since it would
// print each object to find it. Statements are prepared by name; days and amounts come as text.
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import mercurius from 'mercurius'
import pg from 'pg'

const { schema, read } = JSON.parse(readFileSync(process.env.STATEMENTS, 'utf8'))
for (const oid of [pg.types.builtins.DATE, pg.types.builtins.NUMERIC]) pg.types.setTypeParser(oid, text => text)
const pool = new pg.Pool({
  max: 10,
  idleTimeoutMillis: 0,
  options: '-c plan_cache_mode=force_generic_plan -c jit=off -c max_parallel_workers_per_gather=0'
})

const names = new Map() // a statement's name, for as long as the process lives
async function rows (text, values) {
  if (!names.has(text)) names.set(text, `s${names.size}`)
  return (await pool.query({ name: names.get(text), text, values })).rows
}

const SUBJECT = `select ${read.subject} from core.subject s where s.class = 'ORGANISATION' and`
const subject = row => row && ({
  row,
  id: row.node_id,
  uscc: row.uscc,
  onRecord: true,
  name: row.name,
  kind: row.kind,
  registeredOn: row.registered_on,
  legalRepresentative: row.legal_representative
})
const record = (row, letter) => ({
  cursor: `${letter}${letter === 'd' ? row.decided_on : row.published_from}${row.node_id}`,
  node: {
    row,
    id: row.node_id,
    kind: row.kind,
    area: row.area,
    title: row.title,
    documentNumber: row.document_number,
    decidedOn: row.decided_on,
    publishedUntil: row.published_until,
    status: row.status,
    underObjection: row.under_objection,
    amount: row.amount
  }
})
function page (edges, first) {
  const shown = edges.slice(0, first)
  return { edges: shown, pageInfo: { hasNextPage: edges.length > first, endCursor: shown.at(-1)?.cursor ?? null } }
}

// One row for each key, or many; a key that several objects have is asked for once.
function one (key, sql, column, made = row => row) {
  return async queries => {
    const keys = queries.map(({ obj }) => key(obj))
    const wanted = [...new Set(keys)].filter(each => each != null)
    const found = new Map((wanted.length ? await rows(sql, [wanted]) : []).map(row => [String(row[column]), row]))
    return keys.map(each => (each == null ? null : made(found.get(String(each)) ?? null)))
  }
}
function many (sql, made) {
  return async queries => {
    const found = new Map(queries.map(({ obj }) => [obj.row.id, []]))
    for (const row of await rows(sql, [[...found.keys()]])) found.get(row.subject_id).push(row)
    return queries.map(({ obj, params }) => made(found.get(obj.row.id), params))
  }
}
const loader = load => ({ loader: load, opts: { cache: false } })

const byId = key => one(key, `${SUBJECT} s.id = any ($1)`, 'id', subject)
const loaders = {
  Subject: {
    region: loader(one(({ row }) => row.region_code, 'select code, name, local from core.region where code = any ($1)', 'code')),
    formerNames: loader(many(
      'select subject_id, name from core.former_name where subject_id = any ($1) order by used_until, name',
      found => found.map(row => row.name))),
    roles: loader(many(
      'select subject_id, role from core.subject_role where subject_id = any ($1)' +
        ' and (valid_to is null or valid_to >= core.today()) order by role',
      found => found.map(row => row.role))),
    recordCounts: loader(many(
      'select r.subject_id, r.area, r.kind, count(*)::int from core.record r where r.subject_id = any ($1)' +
        ` and ${read.visible} group by r.subject_id, r.area, r.kind order by r.area, r.kind`,
      found => found)),
    records: loader(many(
      `select q.* from unnest($1::bigint[]) k (id) cross join lateral (select ${read.record} from core.record r` +
        ` where r.subject_id = k.id and ${read.visible} order by r.decided_on desc, r.external_id desc limit 21) q`,
      (found, { first }) => page(found.map(row => record(row, 'd')), first)))
  },
  CreditRecord: {
    subject: loader(byId(({ row }) => row.subject_id)),
    authority: loader(byId(({ row }) => row.authority_id)),
    source: loader(one(({ row }) => row.source_code, 'select code, name, kind from core.source where code = any ($1)', 'code'))
  }
}

const LAST = '\u{10ffff}'
// As much of the gateway's folding of names as the names that are measured need.
const folded = text => text.normalize('NFKC').replace(/\s/g, '').replaceAll('有限责任公司', '有限公司').toUpperCase()
const resolvers = {
  Query: {
    subject: async (_, { uscc }) => subject((await rows(`${SUBJECT} s.uscc = $1`, [uscc]))[0] ?? null),
    subjects: async (_, { usccs }) => {
      const found = new Map((await rows(`${SUBJECT} s.uscc = any ($1)`, [usccs])).map(row => [row.uscc, subject(row)]))
      return usccs.map(uscc => found.get(uscc) ?? null)
    },
    searchSubjects: async (_, { query, first }) => {
      const begin = folded(query)
      const found = await rows(
        `with ${read.matches} select t.n::int as total, m.tier, m.suffix, ${read.subject}` +
          ' from (select count(*) as n from m) t, m join core.subject s on s.id = m.subject_id' +
          ` where m.n <= ${read.page} order by m.n`, [begin, begin + LAST])
      const total = found[0]?.total ?? 0
      const edges = found.map(row => ({
        cursor: `n${row.tier}${Buffer.from(row.suffix).toString('base64url')}${row.node_id}`,
        node: subject(row)
      }))
      const pageInfo = { hasNextPage: total > first, endCursor: edges.at(-1)?.cursor ?? null }
      return { totalCount: Math.min(total, read.counted), edges, pageInfo }
    },
    records: async (_, { filter = {}, orderBy, first, after }) => {
      const [column, letter] = orderBy?.field === 'PUBLISHED_FROM' ? ['published_from', 'p'] : ['decided_on', 'd']
      const way = orderBy?.direction === 'ASC' ? 'asc' : 'desc'
      const conditions = [read.visible]
      const values = []
      const given = (value, condition) => {
        if (value != null) {
          values.push(value)
          conditions.push(condition(`$${values.length}`))
        }
      }
      given(filter.kinds, at => `r.kind = any (${at})`)
      given(filter.areas, at => `r.area = any (${at})`)
      given(filter.decidedFrom, at => `r.decided_on >= ${at}::date`)
      given(filter.decidedTo, at => `r.decided_on <= ${at}::date`)
      given(filter.regionCode, at => `s.region_code = any (array (select code from core.region_closure where ancestor = ${at}))`)
      if (after != null) {
        values.push(after.slice(1, 11), Buffer.from(after.slice(11), 'base64url').subarray(1).toString('hex'))
        const [day, row] = [`$${values.length - 1}::date`, `$${values.length}::uuid`]
        conditions.push(`(r.${column}, r.external_id) ${way === 'asc' ? '>' : '<'} (${day}, ${row})`)
      }
      const found = await rows(
        `select ${read.record} from core.record r join core.subject s on s.id = r.subject_id` +
          ` where ${conditions.join(' and ')} order by r.${column} ${way}, r.external_id ${way} limit ${first + 1}`, values)
      return page(found.map(row => record(row, letter)), first)
    }
  }
}

const app = Fastify()
app.register(mercurius, { schema, resolvers, loaders, jit: 1, path: '/graphql' })
await app.listen({ host: '127.0.0.1', port: 0 })
console.log(app.server.address().port)
process.on('SIGTERM', () => process.exit(0))
