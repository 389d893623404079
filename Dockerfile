# docker build -t learning-not-to-learn .
# mkdir -p checkpoint
# docker run --rm --init --gpus all --user "$(id -u):$(id -g)" -v "$PWD/checkpoint:/app/checkpoint" learning-not-to-learn
#
# runs the main job (train.sh); without --gpus all it runs on the CPU. Any other command can follow the image's name:
# bash train.sh --color_var 0.03, bash test.sh, python test.py --help. `bash train.sh` outside does all of this.
FROM python:3.11-slim

WORKDIR /app

# The torch wheel brings its CUDA libraries; from the host comes only the driver.
COPY requirements/lock.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/lock.txt

# Any user of the host may be given with --user: everything is readable, results and caches are writable for all.
RUN useradd --uid 1000 --create-home lntl && mkdir -m 1777 checkpoint
COPY . ./
RUN chmod -R a+rX . && chmod 1777 checkpoint

ENV LNTL_RUNTIME=local \
    LNTL_PYTHON=python3 \
    HOME=/tmp \
    USER=lntl \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

USER 1000
VOLUME /app/checkpoint
CMD ["bash", "train.sh"]
