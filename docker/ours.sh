# Parts our own code into layers, compiled: what is data and hardly changes, what makes data sets, the rest
# of datagen, and the trainer with the command. Unchecked bytecode: nobody edits it in there, and no time
# stamp has to agree. None for what no pod imports, such as what makes episodes: it would be a third of
# what a change pushes.
set -eu
cd /ours
makes="datagen/(questions|dataset|episodes/(make|proposed|scripted)|models/(paid_api|vllm))"
also="datagen/(evaluation/(altered_tables|comparison_text)|progress[.]|episodes/(counts|gather)|tables/synthetic|judge/judge_again|sandbox/server/service|verbs/([^ae_]|episodes|export))|trainer/(tiny/|result/(export|modelfile|publish)|contract/exporting|data/check[.])"
python -m compileall -q --invalidation-mode unchecked-hash -x "$makes|$also" code
mkdir -p data/trainer data/datagen/tables/bundled questions/datagen datagen trainer/opt/sft trainer/etc/ssh
mv code/trainer/tiny data/trainer/
rm code/datagen/sandbox/README.md
mv code/datagen/tables/bundled/*.csv data/datagen/tables/bundled/
mv code/datagen/questions code/datagen/dataset questions/datagen/
mv code/datagen datagen/
mv code/trainer entrypoint trainer/opt/sft/
mv sshd_config trainer/etc/ssh/sshd_config
chmod -R u=rwX,go=rX data questions datagen trainer
chmod 755 trainer/opt/sft/entrypoint
chmod 600 trainer/etc/ssh/sshd_config
# One time for all: a part that has not changed is the same layer, and is not pushed again.
find data questions datagen trainer -exec touch -h -d @0 {} +
