-- Reference data: law and codes as rows with dates, so that an operator changes them by inserts.
-- Terms and classes: 国办发〔2025〕22号; repair: 《信用修复管理办法》 (NDRC Order 36, 2026). Figures marked 暂定 are the
-- operator's to confirm: they stand in no text that was read for this project.

insert into core.source (code, name, name_en, kind, position) values
    ('LOCAL', '博州公共信用信息数据库', 'Local credit database', 'LOCAL', 1),
    ('COURTS', '全国法院执行信息', 'Court publications', 'COURTS', 2),
    ('BANKS', '金融信用信息', 'Bank credit information', 'BANKS', 3),
    ('REGION_PLATFORM', '自治区信用信息共享平台', 'Regional credit platform', 'REGION_PLATFORM', 4),
    ('WORLD_BANK', '世界银行禁入名单', 'World Bank listing of ineligible firms', 'LOCAL', 20);
insert into core.source_health (source_code) select code from core.source;

insert into core.catalogue_item (code, name, catalogue, basis, valid_from) values
    ('QG-04', '行政处罚信息', 'NATIONAL', '全国公共信用信息基础目录（2024年版）', '2024-01-01'),
    ('QG-03', '行政许可信息', 'NATIONAL', '全国公共信用信息基础目录（2024年版）', '2024-01-01'),
    ('QG-02', '司法裁判及执行信息', 'NATIONAL', '全国公共信用信息基础目录（2024年版）', '2024-01-01'),
    ('QG-06', '严重失信主体名单及其他名单信息', 'NATIONAL', '全国公共信用信息基础目录（2024年版）', '2024-01-01'),
    ('QG-09', '表彰奖励信息', 'NATIONAL', '全国公共信用信息基础目录（2024年版）', '2024-01-01'),
    ('QG-11', '政务失信信息', 'NATIONAL', '全国公共信用信息基础目录（2024年版）；发改财金〔2023〕1103号', '2024-01-01'),
    ('BZ-01', '公务员诚信档案：纪律处分', 'LOCAL', '博州政发〔2018〕4号；地方公共信用信息补充目录', '2018-01-01'),
    ('BZ-02', '问责处理信息', 'LOCAL', '博州政发〔2018〕4号；地方公共信用信息补充目录', '2018-01-01');

insert into core.catalogue_default (kind, item, valid_from) values
    ('PENALTY', 'QG-04', '2018-01-01'), ('LICENCE', 'QG-03', '2018-01-01'), ('JUDGMENT', 'QG-02', '2018-01-01'),
    ('LIST_ENTRY', 'QG-06', '2018-01-01'), ('HONOUR', 'QG-09', '2018-01-01'),
    ('CONTRACT_BREACH', 'QG-11', '2018-01-01'), ('PROMISE_BREACH', 'QG-11', '2018-01-01'),
    ('DISCIPLINARY_ACTION', 'BZ-01', '2018-01-01'), ('ACCOUNTABILITY', 'BZ-02', '2018-01-01');

insert into core.publication_term (severity, shortest_months, longest_months, published_by_default, basis, valid_from) values
    ('MINOR', 0, 3, false, '国办发〔2025〕22号：轻微，一般不公示，最长三个月', '2018-01-01'),
    ('GENERAL', 3, 12, true, '国办发〔2025〕22号：一般，最短三个月，最长一年', '2018-01-01'),
    ('SERIOUS', 12, 36, true, '国办发〔2025〕22号：严重，最短一年，最长三年', '2018-01-01');

-- The gravest rule that fits decides. Kinds: 行政处罚法 Art. 9.
insert into core.penalty_class_rule (penalty_kind, fine_from, severity, basis, valid_from) values
    ('警告', null, 'MINOR', '国办发〔2025〕22号', '2018-01-01'),
    ('通报批评', null, 'MINOR', '国办发〔2025〕22号', '2018-01-01'),
    ('罚款', 0.00, 'MINOR', '行政处罚法第五十一条：简易程序', '2018-01-01'),
    ('罚款', 3000.01, 'GENERAL', '行政处罚法第五十一条：对组织三千元以下为简易程序', '2018-01-01'),
    ('罚款', 1000000.00, 'SERIOUS', '国办发〔2025〕22号：数额巨大；界限暂定', '2018-01-01'),
    ('没收违法所得', null, 'GENERAL', '国办发〔2025〕22号', '2018-01-01'),
    ('没收非法财物', null, 'GENERAL', '国办发〔2025〕22号', '2018-01-01'),
    ('暂扣许可证件', null, 'GENERAL', '国办发〔2025〕22号', '2018-01-01'),
    ('降低资质等级', null, 'GENERAL', '国办发〔2025〕22号', '2018-01-01'),
    ('吊销许可证件', null, 'SERIOUS', '国办发〔2025〕22号', '2018-01-01'),
    ('限制开展生产经营活动', null, 'SERIOUS', '国办发〔2025〕22号', '2018-01-01'),
    ('责令停产停业', null, 'SERIOUS', '国办发〔2025〕22号', '2018-01-01'),
    ('责令关闭', null, 'SERIOUS', '国办发〔2025〕22号', '2018-01-01'),
    ('限制从业', null, 'SERIOUS', '国办发〔2025〕22号', '2018-01-01'),
    ('行政拘留', null, 'SERIOUS', '国办发〔2025〕22号', '2018-01-01'),
    ('其他', null, 'GENERAL', '未列明的种类按一般处理；暂定', '2018-01-01');

insert into auth.matter (code, name, name_en, legal_basis, sources_allowed, sources_required,
                         shows_servants, shows_withdrawn, opens, identifies_persons, valid_from) values
    ('GRANT', '财政性资金审批', 'Grant review', '博州政发〔2018〕4号；国办发〔2025〕22号', '{LOCAL,COURTS,REGION_PLATFORM,PEER_REGION,BANKS,WORLD_BANK}', '{LOCAL,COURTS}', false, false, '{}', false, '2018-01-01'),
    ('PROJECT', '项目审批', 'Project approval', '博州政发〔2018〕4号', '{LOCAL,COURTS,REGION_PLATFORM,PEER_REGION,WORLD_BANK}', '{LOCAL,COURTS}', false, false, '{}', false, '2018-01-01'),
    ('PROCUREMENT', '政府采购', 'Government procurement', '博州政发〔2018〕4号；政府采购法第二十二条', '{LOCAL,COURTS,REGION_PLATFORM,PEER_REGION,WORLD_BANK}', '{LOCAL,COURTS}', false, false, '{}', false, '2018-01-01'),
    ('TENDERING', '招标投标', 'Tendering', '博州政发〔2018〕4号；招标投标法实施条例第七十八条', '{LOCAL,COURTS,REGION_PLATFORM,PEER_REGION,WORLD_BANK}', '{LOCAL,COURTS}', false, false, '{}', false, '2018-01-01'),
    ('PPP', '政府和社会资本合作', 'Public-private partnership', '博州政发〔2018〕4号', '{LOCAL,COURTS,REGION_PLATFORM,PEER_REGION,BANKS,WORLD_BANK}', '{LOCAL,COURTS}', false, false, '{}', false, '2018-01-01'),
    ('INVESTMENT', '招商引资', 'Investment promotion', '博州政发〔2018〕4号；优化营商环境条例第三十一条', '{LOCAL,COURTS,REGION_PLATFORM,PEER_REGION,WORLD_BANK}', '{LOCAL,COURTS}', false, false, '{}', false, '2018-01-01'),
    ('APPOINTMENT', '任用及评先评优', 'Appointment and awards', '博州政发〔2018〕4号', '{LOCAL,COURTS}', '{LOCAL}', true, false, '{}', true, '2018-01-01'),
    ('DEBT', '地方政府债务', 'Government debt', '博州政发〔2018〕4号', '{LOCAL,BANKS}', '{LOCAL}', false, false, '{GOVERNMENT_DEBT}', false, '2018-01-01'),
    ('SUPERVISION', '监督检查', 'Supervision', '博州政发〔2018〕4号；信用修复管理办法', '{LOCAL,COURTS,REGION_PLATFORM,PEER_REGION,WORLD_BANK}', '{LOCAL}', true, true, '{}', true, '2018-01-01'),
    ('SELF', '主体查询本单位信息', 'A subject''s own account', '新疆维吾尔自治区社会信用条例', '{LOCAL,COURTS,WORLD_BANK}', '{LOCAL}', false, true, '{}', false, '2018-01-01');

insert into core.code_label (list, code, zh, en, position, level)
select list, code, zh, en, row_number() over (partition by list), level
from (values
    ('RecordKind', 'PENALTY', '行政处罚', 'Administrative penalty', 'PUBLIC'),
    ('RecordKind', 'LICENCE', '行政许可', 'Administrative licence', 'PUBLIC'),
    ('RecordKind', 'JUDGMENT', '司法判决', 'Court judgment', 'PUBLIC'),
    ('RecordKind', 'DISCIPLINARY_ACTION', '纪律处分', 'Disciplinary action', 'PUBLIC'),
    ('RecordKind', 'ACCOUNTABILITY', '问责处理', 'Accountability', 'PUBLIC'),
    ('RecordKind', 'CONTRACT_BREACH', '违约', 'Breach of contract', 'PUBLIC'),
    ('RecordKind', 'PROMISE_BREACH', '承诺失信', 'Broken promise', 'PUBLIC'),
    ('RecordKind', 'HONOUR', '表彰奖励', 'Honour', 'PUBLIC'),
    ('RecordKind', 'LIST_ENTRY', '名单', 'List entry', 'PUBLIC'),
    ('Area', 'GENERAL', '综合', 'General', 'PUBLIC'),
    ('Area', 'PROCUREMENT', '政府采购', 'Government procurement', 'PUBLIC'),
    ('Area', 'PPP', '政府和社会资本合作', 'Public-private partnership', 'PUBLIC'),
    ('Area', 'TENDERING', '招标投标', 'Tendering', 'PUBLIC'),
    ('Area', 'INVESTMENT_PROMOTION', '招商引资', 'Investment promotion', 'PUBLIC'),
    ('Area', 'GOVERNMENT_DEBT', '地方政府债务', 'Government debt', 'PUBLIC'),
    ('Area', 'TOWNSHIP', '街道和乡镇', 'Subdistricts and townships', 'PUBLIC'),
    ('Severity', 'MINOR', '轻微', 'Minor', 'PUBLIC'),
    ('Severity', 'GENERAL', '一般', 'General', 'PUBLIC'),
    ('Severity', 'SERIOUS', '严重', 'Serious', 'PUBLIC'),
    ('RecordStatus', 'ACTIVE', '公示中', 'Active', 'PUBLIC'),
    ('RecordStatus', 'CORRECTED', '已更正', 'Corrected', 'PUBLIC'),
    ('RecordStatus', 'EXPIRED', '公示期满', 'Expired', 'RESTRICTED'),
    ('RecordStatus', 'REVOKED', '已撤销', 'Revoked', 'INTERNAL'),
    ('RecordStatus', 'REPAIRED', '已修复', 'Repaired', 'INTERNAL'),
    ('SubjectKind', 'ORGAN', '行政机关', 'Government organ', 'PUBLIC'),
    ('SubjectKind', 'PUBLIC_INSTITUTION', '事业单位', 'Public institution', 'PUBLIC'),
    ('SubjectKind', 'MASS_ORGANISATION', '群众团体', 'Mass organisation', 'PUBLIC'),
    ('SubjectKind', 'TOWNSHIP', '街道和乡镇', 'Subdistrict or township', 'PUBLIC'),
    ('SubjectKind', 'PARK_COMMITTEE', '园区管理委员会', 'Park committee', 'PUBLIC'),
    ('SubjectKind', 'VILLAGE_COMMITTEE', '村民委员会', 'Village committee', 'PUBLIC'),
    ('SubjectKind', 'RESIDENTS_COMMITTEE', '居民委员会', 'Residents'' committee', 'PUBLIC'),
    ('SubjectKind', 'ENTERPRISE', '企业', 'Enterprise', 'PUBLIC'),
    ('SubjectKind', 'INDIVIDUAL_BUSINESS', '个体工商户', 'Individual business', 'PUBLIC'),
    ('SubjectKind', 'COOPERATIVE', '农民专业合作社', 'Farmers'' cooperative', 'PUBLIC'),
    ('SubjectKind', 'SOCIAL_ORGANISATION', '社会组织', 'Social organisation', 'PUBLIC'),
    ('SubjectKind', 'CIVIL_SERVANT', '公务员', 'Civil servant', 'INTERNAL'),
    ('SubjectKind', 'NATURAL_PERSON', '自然人', 'Natural person', 'INTERNAL'),
    ('SubjectKind', 'OTHER', '其他', 'Other', 'PUBLIC'),
    ('SubjectRole', 'TENDERING_AGENCY', '招标代理机构', 'Tendering agency', 'PUBLIC'),
    ('SubjectRole', 'BIDDER', '投标人', 'Bidder', 'PUBLIC'),
    ('SubjectRole', 'PURCHASER', '采购人', 'Purchaser', 'PUBLIC'),
    ('SubjectRole', 'SUPPLIER', '供应商', 'Supplier', 'PUBLIC'),
    ('SubjectRole', 'PPP_PARTNER', '社会资本方', 'PPP partner', 'PUBLIC'),
    ('SubjectRole', 'INVESTOR', '投资者', 'Investor', 'PUBLIC'),
    ('SubjectRole', 'RATING_AGENCY', '信用评级机构', 'Rating agency', 'PUBLIC'),
    ('SourceKind', 'LOCAL', '本地', 'Local', 'PUBLIC'),
    ('SourceKind', 'COURTS', '法院', 'Courts', 'PUBLIC'),
    ('SourceKind', 'BANKS', '银行', 'Banks', 'PUBLIC'),
    ('SourceKind', 'REGION_PLATFORM', '自治区平台', 'Regional platform', 'PUBLIC'),
    ('SourceKind', 'PEER_REGION', '其他地区', 'Other regions', 'PUBLIC'),
    ('SourceStatus', 'ANSWERED', '已答复', 'Answered now', 'PUBLIC'),
    ('SourceStatus', 'CACHED', '留存答复', 'Kept answer, still fresh', 'PUBLIC'),
    ('SourceStatus', 'STALE', '过时答复', 'Kept answer, no longer fresh', 'PUBLIC'),
    ('SourceStatus', 'UNAVAILABLE', '无法答复', 'Did not answer', 'PUBLIC'),
    ('SourceStatus', 'REFUSED', '拒绝答复', 'Refused to answer', 'PUBLIC'),
    ('SourceStatus', 'CONSENT_REQUIRED', '需要授权', 'Consent required', 'PUBLIC'),
    ('SourceStatus', 'PENDING', '等待答复', 'Answer pending', 'PUBLIC'),
    ('SourceStatus', 'NOT_CONSULTED', '未查询', 'Not consulted', 'PUBLIC'),
    ('View', 'PUBLIC', '公开', 'Public', 'PUBLIC'),
    ('View', 'RESTRICTED', '授权', 'Restricted', 'PUBLIC'),
    ('View', 'INTERNAL', '内部', 'Internal', 'PUBLIC'),
    ('View', 'SELF', '本人', 'A subject''s own account', 'PUBLIC'),
    ('RecordOrderField', 'DECIDED_ON', '决定日期', 'Day of the decision', 'PUBLIC'),
    ('RecordOrderField', 'PUBLISHED_FROM', '公示日期', 'First day of publication', 'PUBLIC'),
    ('Direction', 'ASC', '升序', 'Ascending', 'PUBLIC'),
    ('Direction', 'DESC', '降序', 'Descending', 'PUBLIC')
) as v (list, code, zh, en, level);

-- USCC: the first two characters (GB 32100-2015). An open table: others exist.
insert into core.code_label (list, code, zh, en, position) values
    ('UsccPrefix', '11', '机关', 'Organ', 1), ('UsccPrefix', '12', '事业单位', 'Public institution', 2),
    ('UsccPrefix', '13', '群众团体', 'Mass organisation', 3), ('UsccPrefix', '51', '社会团体', 'Association', 4),
    ('UsccPrefix', '52', '民办非企业单位', 'Private non-enterprise unit', 5), ('UsccPrefix', '53', '基金会', 'Foundation', 6),
    ('UsccPrefix', '54', '村民委员会', 'Village committee', 7), ('UsccPrefix', '55', '居民委员会', 'Residents'' committee', 8),
    ('UsccPrefix', '91', '企业', 'Enterprise', 9), ('UsccPrefix', '92', '个体工商户', 'Individual business', 10),
    ('UsccPrefix', '93', '农民专业合作社', 'Farmers'' cooperative', 11), ('UsccPrefix', 'N1', '组级集体经济组织', 'Collective (group)', 12),
    ('UsccPrefix', 'N2', '村级集体经济组织', 'Collective (village)', 13), ('UsccPrefix', 'N3', '乡镇级集体经济组织', 'Collective (township)', 14),
    ('UsccPrefix', 'N9', '其他集体经济组织', 'Collective (other)', 15);
