-- A fine of which no amount is known is no small one: without a rule of its own it would have the least class, and that
-- one is not published. And the rules of 2018 reach back to the day on which 行政处罚法 came into force, so that older
-- decisions have a class; their terms run from the decision and have ended long since.
alter table core.penalty_class_rule add amount_unknown boolean not null default false;
comment on column core.penalty_class_rule.amount_unknown is 'The rule is for penalties whose fine is not known';

insert into core.penalty_class_rule (penalty_kind, fine_from, severity, basis, valid_from, amount_unknown) values
    ('罚款', null, 'GENERAL', '罚款金额不明的按一般处理；暂定', '2018-01-01', true);

-- Only where nobody has put in rules of an earlier day.
insert into core.penalty_class_rule (penalty_kind, fine_from, severity, basis, valid_from, valid_to, amount_unknown)
select penalty_kind, fine_from, severity, basis || '；2018年以前的决定暂定同此', '1996-10-01', '2017-12-31', amount_unknown
from core.penalty_class_rule
where valid_from = '2018-01-01'
  and not exists (select from core.penalty_class_rule where valid_from < '2018-01-01');

insert into core.publication_term
    (severity, shortest_months, longest_months, published_by_default, basis, valid_from, valid_to)
select severity, shortest_months, longest_months, published_by_default, basis || '；2018年以前的决定暂定同此', '1996-10-01',
       '2017-12-31'
from core.publication_term
where valid_from = '2018-01-01'
  and not exists (select from core.publication_term where valid_from < '2018-01-01');
