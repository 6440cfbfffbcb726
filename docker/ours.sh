# Parts our own code into layers, compiled: what is data and hardly changes, datagen, and the trainer with
# the command. Unchecked bytecode: nobody edits it in there, and no time stamp has to agree.
set -eu
cd /ours
python -m compileall -q --invalidation-mode unchecked-hash code
mkdir -p data/trainer/tiny data/datagen/tables datagen trainer/opt/sft trainer/etc/ssh
mv code/trainer/tiny/model data/trainer/tiny/
mv code/datagen/tables/*.csv data/datagen/tables/
mv code/datagen datagen/
mv code/trainer entrypoint trainer/opt/sft/
mv sshd_config trainer/etc/ssh/sshd_config
chmod -R u=rwX,go=rX data datagen trainer
chmod 755 trainer/opt/sft/entrypoint
chmod 600 trainer/etc/ssh/sshd_config
